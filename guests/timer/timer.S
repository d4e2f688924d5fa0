# Five interrupts of the PIT's counter 0, 10 ms apart, through the PIC; a dot on COM1 for each. Then it halts with interrupts off.
    .intel_syntax noprefix
    .code16
    .set pic, 0x20
    .set end_of_interrupt, 0x20
    .set pit_counter, 0x40
    .set pit_control, 0x43
    .set divisor, 11932             # of 1193182 Hz

    xor ax, ax
    mov es, ax
    mov word ptr es:[4 * 0x20], offset tick
    mov es:[4 * 0x20 + 2], cs
    mov al, 0x11                    # the PIC: four initialisation words
    out pic, al
    mov al, 0x20                    # its vectors begin at 0x20
    out pic + 1, al
    mov al, 4                       # the second PIC is on input 2
    out pic + 1, al
    mov al, 1                       # 8086 mode
    out pic + 1, al
    mov al, 0xfe                    # only input 0
    out pic + 1, al
    mov al, 0x34                    # counter 0, both bytes, rate generator
    out pit_control, al
    mov al, divisor & 0xff
    out pit_counter, al
    mov al, divisor >> 8
    out pit_counter, al
wait:
    sti
    hlt
    cli
    cmp byte ptr ticks, 5
    jb wait
    mov dx, 0x3f8
    mov al, '\n'
    out dx, al
    hlt

tick:
    push ax
    push dx
    cmp byte ptr ticks, 5           # on a slow host the next one comes before the last has been counted
    je counted
    mov dx, 0x3f8
    mov al, '.'
    out dx, al
    inc byte ptr ticks
counted:
    mov al, end_of_interrupt
    out pic, al
    pop dx
    pop ax
    iret

ticks:
    .byte 0
