# As many bytes to COM1 as the number at offset 4 says; before each one the line status must say that there is room.
    .intel_syntax noprefix
    .code16
    .include "end.inc"
    .set room, 0x20
    jmp start
    .balign 4
count:
    .long 1000
start:
    mov ecx, [count]
1:  mov dx, 0x3fd
2:  in al, dx
    test al, room
    jz 2b
    mov dx, 0x3f8
    mov al, '.'
    out dx, al
    dec ecx
    jnz 1b
    end_guest
