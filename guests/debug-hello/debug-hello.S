# Prints "Hello" on the debug console at port 0xf1, a letter an OUT, and halts.
    .intel_syntax noprefix
    .code16
    .irp letter, 'H', 'e', 'l', 'l', 'o', 10
    mov al, \letter
    out 0xf1, al
    .endr
    hlt
