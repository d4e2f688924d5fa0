# From real mode into long mode in one step, by setting PE and PG together.
    .intel_syntax noprefix
    .code16
    mov ax, 0x2000
    mov es, ax
    xor di, di
    mov cx, 0x3000 / 4
    xor eax, eax
    cld
    rep stosd
    mov dword ptr es:[0], 0x21003
    mov dword ptr es:[0x1000], 0x22003
    mov dword ptr es:[0x2000], 0x00083
    mov eax, 0xa0
    mov cr4, eax
    mov eax, 0x20000
    mov cr3, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x100
    wrmsr
    lgdt gdtr
    mov eax, cr0
    or eax, 0x80000001
    mov cr0, eax
    .byte 0x66, 0xea                # jmp far 0x08:long_mode
    .long 0x10000 + long_mode
    .word 0x08
    .code64
long_mode:
    mov al, 64
    out 0x20, al
    mov eax, [rip + value]
    out 0x21, eax
    hlt
value:
    .long 0x12345678
    .balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff
gdtr:
    .word . - gdt - 1
    .long 0x10000 + gdt
