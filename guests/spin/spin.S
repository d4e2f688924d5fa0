# Says that it spins, and does so for ever.
    .intel_syntax noprefix
    .code16
    cld
    mov dx, 0xe9
    mov si, offset text
    mov cx, offset end - text
    rep outsb
    jmp .

text:
    .ascii "spinning\n"
end:
