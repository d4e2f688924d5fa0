#include "probe/codes.hpp"

ASYNCVM_PROBE_CODE(real_mode, 16, R"(
    mov $1, %al
    out %al, $0xf4
    hlt
)")

ASYNCVM_PROBE_CODE(int_real, 16, R"(
    xor %ax, %ax
    mov %ax, %ds
    movw $(1f - 0b), 0x80
    mov %cs, 0x82
    int $0x20
    out %al, $0xf4
    hlt
1:  mov $1, %al
    iret
)")

ASYNCVM_PROBE_CODE(string_in, 16, R"(
    mov $64, %cx
    mov $0x8000, %di
    mov $0x40, %dx
    cld
    rep insb
    mov $1, %al
    out %al, $0xf4
    hlt
)")

ASYNCVM_PROBE_CODE(string_out, 16, R"(
    mov $64, %cx
    mov $0x8000, %si
    mov $0x40, %dx
    cld
    rep outsb
    mov $1, %al
    out %al, $0xf4
    hlt
)")

ASYNCVM_PROBE_CODE(fast_writes, 16, R"(
    mov $'a', %al
    out %al, $0x50
    inc %al
    out %al, $0x50
    inc %al
    out %al, $0x50
    mov $1, %al
    out %al, $0xf4
    hlt
)")

// The first interrupt controller: vectors from 0x20 on, everything masked but IRQ 4.
ASYNCVM_PROBE_CODE(irq_wake, 16, R"(
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x8000, %sp
    movw $(1f - 0b), 0x90
    mov %cs, 0x92
    mov $0x11, %al
    out %al, $0x20
    mov $0x20, %al
    out %al, $0x21
    mov $4, %al
    out %al, $0x21
    mov $1, %al
    out %al, $0x21
    mov $0xef, %al
    out %al, $0x21
    xor %bl, %bl
    mov %bl, %al
    out %al, $0x50
    sti
    hlt
    mov %bl, %al
    out %al, $0xf4
    cli
    hlt
1:  mov $1, %bl
    iret
)")

ASYNCVM_PROBE_CODE(two_cpus, 16, R"(
    xor %ax, %ax
    mov %ax, %ds
    test %bx, %bx
    jnz 2f
    lock orb $1, 0x500
1:  pause
    testb $2, 0x500
    jz 1b
    mov $1, %al
    out %al, $0xf4
    hlt
2:  pause
    testb $1, 0x500
    jz 2b
    lock orb $2, 0x500
    hlt
)")

ASYNCVM_PROBE_CODE(ap, 16, R"(
    xor %ax, %ax
    mov %ax, %ds
    movb $1, 0x500
    cli
    hlt
)")
