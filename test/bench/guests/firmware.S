# Firmware for QEMU, which has put a flat guest at 0x10000 already: the reset vector enters it as asyncvm does.
    .intel_syntax noprefix
    .code16
    .org 0xfff0
    mov ax, 0x1000
    mov ds, ax
    mov es, ax
    mov ss, ax
    ljmp 0x1000, 0
    .org 0x10000
