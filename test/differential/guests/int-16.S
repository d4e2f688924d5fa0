# Software interrupts and exceptions in real mode, with a handler in another segment. Every handler writes its vector to port
# 0x20 and the flags' low byte, which tell how it was entered, to port 0x21.
    .intel_syntax noprefix
    .code16
    xor ax, ax
    mov es, ax
    mov ax, cs
    sub ax, 0x10                    # another segment in which the handlers are 0x100 higher
    mov word ptr es:[0x40 * 4], offset on_40 + 0x100
    mov es:[0x40 * 4 + 2], ax
    mov word ptr es:[0], offset on_0
    mov es:[2], cs
    mov word ptr es:[3 * 4], offset on_3
    mov es:[3 * 4 + 2], cs
    mov sp, 0x8000
    stc
    sti
    int 0x40
    pushf
    pop ax
    out 0x22, ax                    # CF and IF are as before
    int3
    xor bx, bx
    div bx
after_div:
    mov ax, sp
    out 0x23, ax
    mov ax, cs
    out 0x24, ax
    hlt

on_40:
    mov al, 0x40
    out 0x20, al
    pushf
    pop ax
    xchg al, ah
    out 0x21, al
    iret
on_3:
    mov al, 3
    out 0x20, al
    iret
on_0:
    mov al, 0
    out 0x20, al
    pop ax                          # a fault's IP is that of the instruction
    sub ax, offset after_div
    out 0x21, ax
    push offset after_div
    iret
