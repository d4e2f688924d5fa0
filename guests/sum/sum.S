# Adds AL and BL, prints the sum's digit and a newline on COM1, and halts.
    .intel_syntax noprefix
    .code16
    mov dx, 0x3f8
    add al, bl
    add al, '0'
    out dx, al
    mov al, '\n'
    out dx, al
    hlt
