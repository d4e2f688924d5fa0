# Echoes what comes in on COM1, small letters as capitals, until Ctrl-D (byte 4); then halts. Polls the line status only.
    .intel_syntax noprefix
    .code16
    .set data, 0x3f8
    .set line_status, 0x3fd
    .set data_ready, 0x01
    .set transmitter_empty, 0x20
    .set end_of_input, 4

receive:
    mov dx, line_status
    in al, dx
    test al, data_ready
    jz receive
    mov dx, data
    in al, dx
    cmp al, end_of_input
    je done
    cmp al, 'a'
    jb keep
    cmp al, 'z'
    ja keep
    sub al, 'a' - 'A'
keep:
    mov bl, al
    mov dx, line_status
wait:
    in al, dx
    test al, transmitter_empty
    jz wait
    mov dx, data
    mov al, bl
    out dx, al
    jmp receive
done:
    hlt
