# A division by zero without an IDT.
    .intel_syntax noprefix
    .code64
    xor ebx, ebx
    mov al, 1
    out 0x20, al
    div rbx
    hlt
