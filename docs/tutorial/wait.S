# Rings as often as register cl says, and sleeps. Prints a star for each ring that an interrupt tells of; three are enough.
    .intel_syntax noprefix
    .code16
    .set pic, 0x20
    .set bell, 0x300

    xor ax, ax
    mov es, ax
    mov word ptr es:[4 * 0x25], offset rung
    mov es:[4 * 0x25 + 2], cs
    mov al, 0x11        # the interrupt controller: four initialisation words
    out pic, al
    mov al, 0x20        # line 0 is interrupt 0x20, line 5 is 0x25
    out pic + 1, al
    mov al, 4
    out pic + 1, al
    mov al, 1
    out pic + 1, al
    mov al, 0xdf        # only line 5
    out pic + 1, al
    mov dx, bell + 1
    mov al, 1           # the bell may interrupt
    out dx, al
    mov dx, bell
    mov al, cl
    out dx, al
sleep:
    sti
    hlt
    cli
    cmp byte ptr stars, 3
    jb sleep
    mov dx, 0x3f8
    mov al, '\n'
    out dx, al
    hlt

rung:
    pusha
    mov dx, bell
    in al, dx
    add stars, al
    mov cl, al
    mov dx, 0x3f8
next:
    test cl, cl
    jz done
    mov al, '*'
    out dx, al
    dec cl
    jmp next
done:
    mov al, 0x20        # end of interrupt
    out pic, al
    popa
    iret

stars:
    .byte 0
