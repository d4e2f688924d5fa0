# An invalid opcode without an IDT.
    .intel_syntax noprefix
    .code32
    mov al, 1
    out 0x20, al
    ud2
    hlt
