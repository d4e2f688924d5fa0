# Reads a thermometer, which is a program of its own, and heats until it shows 23 degrees.
    .intel_syntax noprefix
    .code16
    .set temperature, 0x300         # 16 bits: tenths of a degree
    .set heater, 0x302
    .set warm, 230

    call show                       # before it is heated
    mov al, 1
    mov dx, heater
    out dx, al
again:
    call show
    cmp ax, warm
    jb again
    mov al, 0
    mov dx, heater
    out dx, al
    hlt

# Prints the temperature: "21.5 C". ax is what was read.
show:
    mov dx, temperature
    in ax, dx
    push ax
    mov bl, 100
    div bl                          # al: hundreds of tenths, ah: what is left
    call digit
    mov al, ah
    mov ah, 0
    mov bl, 10
    div bl
    call digit
    mov al, '.' - '0'
    call digit
    mov al, ah
    call digit
    mov si, offset unit
    mov cx, 3
    mov dx, 0x3f8
    rep outsb
    pop ax
    ret

# al: 0 to 9 (or a character's distance from '0')
digit:
    push ax
    add al, '0'
    mov dx, 0x3f8
    out dx, al
    pop ax
    ret

unit:
    .ascii " C\n"
