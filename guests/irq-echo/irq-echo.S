# Echoes what comes in on COM1, small letters as capitals, until Ctrl-D (byte 4); then halts. Sleeps until the UART interrupts.
    .intel_syntax noprefix
    .code16
    .set pic, 0x20
    .set end_of_interrupt, 0x20
    .set data, 0x3f8
    .set interrupt_enable, 0x3f9
    .set modem_control, 0x3fc
    .set line_status, 0x3fd
    .set data_ready, 0x01
    .set end_of_input, 4

    xor ax, ax
    mov es, ax
    mov word ptr es:[4 * 0x24], offset received
    mov es:[4 * 0x24 + 2], cs
    mov al, 0x11                    # the PIC: four initialisation words
    out pic, al
    mov al, 0x20                    # its vectors begin at 0x20
    out pic + 1, al
    mov al, 4                       # the second PIC is on input 2
    out pic + 1, al
    mov al, 1                       # 8086 mode
    out pic + 1, al
    mov al, 0xef                    # only input 4
    out pic + 1, al
    mov dx, modem_control
    mov al, 0x0b                    # DTR, RTS, and OUT2, which lets the interrupt through
    out dx, al
    mov dx, interrupt_enable
    mov al, 1                       # when data has come
    out dx, al
wait:
    sti
    hlt
    cli
    cmp byte ptr ended, 0
    je wait
    hlt

received:
    pusha
again:
    mov dx, line_status
    in al, dx
    test al, data_ready
    jz done
    mov dx, data
    in al, dx
    cmp al, end_of_input
    je end
    cmp al, 'a'
    jb keep
    cmp al, 'z'
    ja keep
    sub al, 'a' - 'A'
keep:
    out dx, al
    jmp again
end:
    inc byte ptr ended
done:
    mov al, end_of_interrupt
    out pic, al
    popa
    iret

ended:
    .byte 0
