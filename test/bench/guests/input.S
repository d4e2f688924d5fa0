# Sends a byte when it is ready, takes as many from COM1 as the number at offset 4 says, sends a byte, and ends.
    .intel_syntax noprefix
    .code16
    .include "end.inc"
    .set data_ready, 0x01
    jmp start
    .balign 4
count:
    .long 1000
start:
    mov ecx, [count]
    mov dx, 0x3f8
    mov al, '<'
    out dx, al
1:  mov dx, 0x3fd
2:  in al, dx
    test al, data_ready
    jz 2b
    mov dx, 0x3f8
    in al, dx
    dec ecx
    jnz 1b
    mov al, '>'
    out dx, al
    end_guest
