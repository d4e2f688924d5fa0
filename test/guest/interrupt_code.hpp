/// What test guests in real mode do before they can be interrupted, as macros of the assembler. For GUEST_CODE.
#pragma once

#include "guest_code.hpp"

asm(R"(
    # Data and stack at 0, and both PICs: vectors 0x20 to 0x27 and 0x28 to 0x2f, edge-triggered. A bit of a mask turns a
    # line off.
    .macro asyncvm_test_pics first, second=0xff
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x8000, %sp
    mov $0x11, %al
    out %al, $0x20
    out %al, $0xa0
    mov $0x20, %al
    out %al, $0x21
    mov $0x28, %al
    out %al, $0xa1
    mov $4, %al
    out %al, $0x21
    mov $2, %al
    out %al, $0xa1
    mov $1, %al
    out %al, $0x21
    out %al, $0xa1
    mov $(\first), %al
    out %al, $0x21
    mov $(\second), %al
    out %al, $0xa1
    .endm

    # The handler of a vector, at a label.
    .macro asyncvm_test_vector number, handler
    movw $(\handler - 0b), 4 * (\number)
    mov %cs, 4 * (\number) + 2
    .endm

    # The one line that is.
    .macro asyncvm_test_level_triggered irq
    mov $(0x4d0 + \irq / 8), %dx
    mov $(1 << (\irq % 8)), %al
    out %al, %dx
    .endm

    # Counter 0 as a rate generator; 1,193 ticks make a millisecond.
    .macro asyncvm_test_timer ticks
    mov $0x34, %al
    out %al, $0x43
    mov $(\ticks & 0xff), %al
    out %al, $0x40
    mov $(\ticks >> 8), %al
    out %al, $0x40
    .endm

    # Turns the local APIC on, and to x2APIC mode.
    .macro asyncvm_test_x2apic
    mov $0x1b, %ecx
    rdmsr
    or $0xc00, %eax
    wrmsr
    mov $0x80f, %ecx
    mov $0x1ff, %eax
    xor %edx, %edx
    wrmsr
    .endm

    # The interrupt is done: of the first PIC, or of both.
    .macro asyncvm_test_eoi both=0
    mov $0x20, %al
    .if \both
    out %al, $0xa0
    .endif
    out %al, $0x20
    .endm

    # The same of the local APIC.
    .macro asyncvm_test_apic_eoi
    mov $0x80b, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    .endm
)");
