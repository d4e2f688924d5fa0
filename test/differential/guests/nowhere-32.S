# A jump to where there is no memory.
    .intel_syntax noprefix
    .code32
    mov al, 1
    out 0x20, al
    mov eax, 0xd0000000
    jmp eax
