# Reads the counter port ten times and writes back what it has read.
    .intel_syntax noprefix
    .code16
    mov cx, 10
1:  in ax, 0x10
    out 0x10, ax
    dec cx
    jnz 1b
    hlt
