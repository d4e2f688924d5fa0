# Code that runs off the end of the RAM: all that lies before runs.
    .intel_syntax noprefix
    .code32
    mov edi, 0xfffe0
    mov esi, 0x10000 + last
    mov ecx, 32
    cld
    rep movsb
    mov eax, 0xfffe0
    jmp eax
last:
    mov al, 1
    out 0x20, al
    mov al, 2
    out 0x20, al
    .fill 24, 1, 0x90
