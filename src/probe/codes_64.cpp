#include "probe/codes.hpp"

ASYNCVM_PROBE_CODE(long_mode, 64, R"(
    mov $1, %rax
    shl $32, %rax
    shr $32, %rax
    out %al, $0xf4
    hlt
)")

ASYNCVM_PROBE_CODE(mmio, 64, R"(
    movl $0x12345678, 0x200000
    cmpl $0x87654321, 0x200000
    sete %al
    out %al, $0xf4
    hlt
)")

// The gate for vector 0x30 lies at 0x24000 + 16 * 0x30.
ASYNCVM_PROBE_CODE(int_64, 64, R"(
    movl $(0x80000 + 1f - 0b), 0x24300
    movl $0x00018e00, 0x24304
    movq $0, 0x24308
    movw $0xfff, 0x23000
    movq $0x24000, 0x23002
    lidt 0x23000
    xor %eax, %eax
    int $0x30
    out %al, $0xf4
    hlt
1:  mov $1, %al
    iretq
)")

ASYNCVM_PROBE_CODE(int3_64, 64, R"(
    movl $(0x80000 + 1f - 0b), 0x24030
    movl $0x00018e00, 0x24034
    movq $0, 0x24038
    movw $0xfff, 0x23000
    movq $0x24000, 0x23002
    lidt 0x23000
    xor %eax, %eax
    int3
    out %al, $0xf4
    hlt
1:  mov $1, %al
    iretq
)")

ASYNCVM_PROBE_CODE(sse, 64, R"(
    mov $20, %eax
    movd %eax, %xmm0
    paddd %xmm0, %xmm0
    movd %xmm0, %eax
    cmp $40, %eax
    sete %al
    out %al, $0xf4
    hlt
)")

ASYNCVM_PROBE_CODE(x87, 64, R"(
    fninit
    fld1
    fadd %st(0), %st
    fistpl 0x30000
    cmpl $2, 0x30000
    sete %al
    out %al, $0xf4
    hlt
)")

ASYNCVM_PROBE_CODE(popcnt, 64, R"(
    mov $0xf0f0, %eax
    popcnt %eax, %eax
    cmp $8, %eax
    sete %al
    out %al, $0xf4
    hlt
)")

// KVM's own hypercall 1 (KVM_HC_VAPIC_POLL_IRQ) does nothing. What it returns does not matter.
ASYNCVM_PROBE_CODE(vmcall, 64, R"(
    mov $1, %eax
    vmcall
    mov $1, %al
    out %al, $0xf4
    hlt
)")

ASYNCVM_PROBE_CODE(triple_fault, 64, R"(
    movw $0, 0x23000
    movq $0, 0x23002
    lidt 0x23000
    ud2
)")

ASYNCVM_PROBE_CODE(spin, 64, R"(
1:  pause
    jmp 1b
)")

ASYNCVM_PROBE_CODE(debuggee, 64, R"(
    nop
    nop
    int3
    nop
    movl $1, 0x30000
    mov $1, %al
    out %al, $0xf4
    hlt
)")

ASYNCVM_PROBE_CODE(cpuid, 64, R"(
    mov %ebx, %eax
    xor %ecx, %ecx
    cpuid
    mov %ebx, %esi
    mov %ecx, %eax
    out %eax, $0x50
    mov %edx, %eax
    out %eax, $0x54
    mov %esi, %eax
    out %eax, $0x58
    mov $1, %al
    out %al, $0xf4
    hlt
)")
