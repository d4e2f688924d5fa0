# String I/O of each width, upwards and downwards, and what it leaves in memory and registers.
    .intel_syntax noprefix
    .code16
    mov dx, 0x30
    mov si, offset words
    mov cx, 5
    rep outsb
    mov cx, 3
    rep outsw
    mov cx, 2
    rep outsd
    mov di, 0x1000
    mov cx, 7
    rep insb
    mov cx, 2
    rep insw
    mov cx, 2
    rep insd
    std
    mov di, 0x1020
    mov cx, 3
    rep insw
    mov si, 0x100a
    mov cx, 4
    rep outsb
    outsb
    cld
    mov cx, 0
    rep outsb                       # nothing
    mov si, 0x1000
    mov cx, 0x22
1:  lodsb
    out 0x31, al
    loop 1b
    mov ax, di
    out 0x32, ax
    hlt
words:
    .ascii "abcdefghijklmnopqrstuvwxyz"
