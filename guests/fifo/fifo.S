# Sends a line through a FIFO, which is a program of its own, and sleeps until an interrupt says that bytes of it are back.
    .intel_syntax noprefix
    .code16
    .set pic, 0x20
    .set end_of_interrupt, 0x20
    .set data, 0x300
    .set count, 0x301
    .set irq, 5

    xor ax, ax
    mov es, ax
    mov word ptr es:[4 * (0x20 + irq)], offset ready
    mov es:[4 * (0x20 + irq) + 2], cs
    mov al, 0x11                    # the PIC: four initialisation words
    out pic, al
    mov al, 0x20                    # its vectors begin at 0x20
    out pic + 1, al
    mov al, 4                       # the second PIC is on input 2
    out pic + 1, al
    mov al, 1                       # 8086 mode
    out pic + 1, al
    mov al, ~(1 << irq) & 0xff
    out pic + 1, al

    cld
    mov si, offset text
    mov cx, offset text_end - text
    mov dx, data
    rep outsb
wait:
    sti
    hlt
    cli
    cmp byte ptr ended, 0
    je wait
    hlt

ready:
    pusha
again:
    mov dx, count
    in al, dx
    test al, al
    jz done
    mov dx, data
    in al, dx
    mov dx, 0x3f8
    out dx, al
    cmp al, '\n'
    jne again
    inc byte ptr ended
    jmp again
done:
    mov al, end_of_interrupt
    out pic, al
    popa
    iret

ended:
    .byte 0
text:
    .ascii "hello, interrupt!\n"
text_end:
