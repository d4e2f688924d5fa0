# Writes 0 to 9 to the counter port, two bytes at a time, and halts.
    .intel_syntax noprefix
    .code16
    xor ax, ax
1:  out 0x10, ax
    inc ax
    cmp ax, 10
    jne 1b
    hlt
