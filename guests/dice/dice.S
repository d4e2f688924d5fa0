# Rolls two dice, which are a program of their own, until both show a six.
    .intel_syntax noprefix
    .code16
    .set dice, 0x300
    .set seed, 29

    mov ax, seed
    mov dx, dice
    out dx, ax
    cld
roll:
    mov dx, dice
    mov di, offset rolled
    mov cx, 2
    rep insb                        # both at once
    mov ax, [rolled]
    add ax, 0x3030                  # '0', twice
    mov [line], al
    mov [line + 2], ah
    mov si, offset line
    mov cx, offset rolled - line
    mov dx, 0x3f8
    rep outsb
    cmp word ptr [rolled], 0x0606
    jne roll
    hlt

line:
    .ascii "0 0\n"
rolled:
    .word 0
