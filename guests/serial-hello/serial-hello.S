# Prints a greeting on COM1 and halts. Waits for the transmitter before each letter, as on a real UART.
    .intel_syntax noprefix
    .code16
    .set data, 0x3f8
    .set line_status, 0x3fd
    .set transmitter_empty, 0x20

    mov si, offset greeting
next:
    lodsb
    test al, al
    jz done
    mov bl, al
    mov dx, line_status
wait:
    in al, dx
    test al, transmitter_empty
    jz wait
    mov dx, data
    mov al, bl
    out dx, al
    jmp next
done:
    hlt

greeting:
    .asciz "Hello from the guest!\n"
