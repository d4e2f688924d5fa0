# Writes 21 to the exit port.
    .intel_syntax noprefix
    .code16
    mov al, 21
    out 0xf4, al
    hlt                     # never reached
