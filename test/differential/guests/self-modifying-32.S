# A guest that rewrites code which it has already run, also just ahead of itself.
    .intel_syntax noprefix
    .code32
    mov ebp, 0x10000
    mov ecx, 3
1:  mov al, 5
    out 0x20, al
    inc byte ptr [ebp + 1b + 1]
    loop 1b
    mov byte ptr [ebp + 2f + 1], 0x42
    jmp 2f
2:  mov al, 0
    out 0x20, al
    hlt
