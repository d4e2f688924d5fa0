# Sends one byte on COM1. If the number at offset 4 is not 0 it then waits for one from there, for the memory of its monitor
# to be looked at.
    .intel_syntax noprefix
    .code16
    .include "end.inc"
    .set data_ready, 0x01
    jmp start
    .balign 4
count:
    .long 0
start:
    mov dx, 0x3f8
    mov al, '!'
    out dx, al
    cmp dword ptr [count], 0
    je 2f
    mov dx, 0x3fd
1:  in al, dx
    test al, data_ready
    jz 1b
2:  end_guest
