#include "probe/codes.hpp"

// Guests that go to ring 3 and come back. The descriptors: 0x08 kernel code, 0x10 kernel data, 0x18 (unused: SYSRET to
// 32-bit code), 0x20 user data, 0x28 user code, 0x30 TSS. They, the page tables that let ring 3 in, and the TSS (its RSP0 is
// 0x29000) are set up alike for both.
asm(R"(
    .macro asyncvm_probe_prepare_ring_3
    movq $0x27007, 0x26000
    movq $0x28007, 0x27000
    movq $0x87, 0x28000
    mov $0x26000, %eax
    mov %rax, %cr3
    movabs $0x00af9b000000ffff, %rax
    mov %rax, 0x22008
    movabs $0x00cf93000000ffff, %rax
    mov %rax, 0x22010
    movabs $0x00cffb000000ffff, %rax
    mov %rax, 0x22018
    movabs $0x00cff3000000ffff, %rax
    mov %rax, 0x22020
    movabs $0x00affb000000ffff, %rax
    mov %rax, 0x22028
    movabs $0x0000890250000067, %rax
    mov %rax, 0x22030
    movw $0x3f, 0x23000
    movq $0x22000, 0x23002
    lgdt 0x23000
    movq $0x2c000, 0x25004
    mov $0x30, %eax
    ltr %ax
    mov $0x2c000, %esp
    .endm

    .macro asyncvm_probe_enter_ring_3 rip
    pushq $0x23
    pushq $0x2a000
    pushq $2
    pushq $0x2b
    pushq $(\rip)
    iretq
    .endm
)");

ASYNCVM_PROBE_CODE(ring3_int, 64, R"(
    asyncvm_probe_prepare_ring_3
    movl $(0x80000 + 1f - 0b), 0x24800
    movl $0x0001ee00, 0x24804
    movq $0, 0x24808
    movw $0xfff, 0x23000
    movq $0x24000, 0x23002
    lidt 0x23000
    asyncvm_probe_enter_ring_3 (0x10000 + 2f - 0b)
2:  mov %cs, %ebx
    int $0x80
    ud2
1:  mov %cs, %eax
    test $3, %al
    jnz 3f
    cmp $0x2b, %bx
    jne 3f
    cmpw $0x2b, 8(%rsp)
    jne 3f
    mov $1, %al
    out %al, $0xf4
3:  mov $0, %al
    out %al, $0xf4
    hlt
)")

// Two calls, so that SYSRET is tried as well. STAR: kernel 0x08 and 0x10, user from 0x18 on.
ASYNCVM_PROBE_CODE(ring3_syscall, 64, R"(
    asyncvm_probe_prepare_ring_3
    mov $0xc0000080, %ecx
    rdmsr
    or $1, %eax
    wrmsr
    mov $0xc0000081, %ecx
    xor %eax, %eax
    mov $0x001b0008, %edx
    wrmsr
    mov $0xc0000082, %ecx
    mov $(0x10000 + 1f - 0b), %eax
    xor %edx, %edx
    wrmsr
    mov $0xc0000084, %ecx
    xor %eax, %eax
    wrmsr
    asyncvm_probe_enter_ring_3 (0x10000 + 2f - 0b)
2:  mov $1, %ebx
    syscall
    mov $2, %ebx
    mov %cs, %esi
    syscall
    ud2
1:  mov %cs, %eax
    test $3, %al
    jnz 3f
    cmp $1, %ebx
    jne 4f
    sysretq
4:  cmp $2, %ebx
    jne 3f
    cmp $0x2b, %si
    jne 3f
    mov $1, %al
    out %al, $0xf4
3:  mov $0, %al
    out %al, $0xf4
    hlt
)")
