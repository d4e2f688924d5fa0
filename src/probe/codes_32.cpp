#include "probe/codes.hpp"

ASYNCVM_PROBE_CODE(protected_mode, 32, R"(
    mov $0x12345678, %eax
    mov %eax, 0x30000
    cmpl $0x12345678, 0x30000
    sete %al
    out %al, $0xf4
    hlt
)")

// A page directory at 0x20000, a page table at 0x21000: the first MiB one to one, and 0x30000 once more at 0x200000.
ASYNCVM_PROBE_CODE(paging_32, 32, R"(
    mov $0x21000, %edi
    mov $3, %eax
    cld
1:  stosl
    add $0x1000, %eax
    cmp $0x100003, %eax
    jb 1b
    movl $0x30003, 0x21800
    movl $0x21003, 0x20000
    movl $0x5a5a1234, 0x30000
    mov $0x20000, %eax
    mov %eax, %cr3
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    jmp 2f
2:  cmpl $0x5a5a1234, 0x200000
    sete %al
    out %al, $0xf4
    hlt
)")

// The same with three levels: the first 2 MiB one to one, and once more from 2 MiB on.
ASYNCVM_PROBE_CODE(paging_pae, 32, R"(
    movl $0x21001, 0x20000
    movl $0x83, 0x21000
    movl $0x83, 0x21008
    movl $0x5a5a1234, 0x30000
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov $0x20000, %eax
    mov %eax, %cr3
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    jmp 1f
1:  cmpl $0x5a5a1234, 0x230000
    sete %al
    out %al, $0xf4
    hlt
)")

// Four levels, CR4.PAE, EFER.LME, CR0.PG, and a far jump to the 64-bit code segment 0x18.
ASYNCVM_PROBE_CODE(enter_long_mode, 32, R"(
    movl $0x21003, 0x20000
    movl $0x22003, 0x21000
    movl $0x83, 0x22000
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov $0x20000, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    movl $0x00000000, 0x23000
    movl $0x00000000, 0x23004
    movl $0x0000ffff, 0x23008
    movl $0x00af9b00, 0x2300c
    movw $0x0f, 0x24000
    movl $0x23000, 0x24002
    lgdt 0x24000
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    ljmp $0x08, $(0x10000 + 1f - 0b)
    .code64
1:  mov $1, %rax
    shl $32, %rax
    shr $32, %rax
    out %al, $0xf4
    hlt
)")

// The gate for vector 0x30 lies at 0x24000 + 8 * 0x30.
ASYNCVM_PROBE_CODE(int_32, 32, R"(
    movl $(0x80000 + 1f - 0b), 0x24180
    movl $0x00018e00, 0x24184
    movw $0x7ff, 0x23000
    movl $0x24000, 0x23002
    lidt 0x23000
    xor %eax, %eax
    int $0x30
    out %al, $0xf4
    hlt
1:  mov $1, %al
    iret
)")

ASYNCVM_PROBE_CODE(fast_mmio, 32, R"(
    movl $'a', 0x200000
    movl $'b', 0x200000
    movl $'c', 0x200000
    mov $1, %al
    out %al, $0xf4
    hlt
)")

// INIT, then start-up at page 8, through the local APIC's interrupt command register.
ASYNCVM_PROBE_CODE(ap_startup, 32, R"(
    movl $0x1ff, 0xfee000f0
    movl $0x01000000, 0xfee00310
    movl $0x00004500, 0xfee00300
    movl $0x01000000, 0xfee00310
    movl $0x00004608, 0xfee00300
1:  pause
    cmpb $1, 0x500
    jne 1b
    mov $1, %al
    out %al, $0xf4
    hlt
)")
