# An ELF file without any boot protocol, of 32-bit code.
    .intel_syntax noprefix
    .code32
    .include "print32.inc"
    .global start
start:
    push 0x12345678             # there is a stack
    pop eax
    call print_hex
    say "\n"
    call check_zeros
    mov eax, 0x40000000         # 32-bit code has no REX prefixes: 0x40 is inc eax
    .byte 0x40
    call print_hex
    say "\n"
    jmp end
