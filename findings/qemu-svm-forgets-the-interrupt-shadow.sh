#!/bin/sh
# A processor with SVM that QEMU emulates forgets the interrupt shadow of STI when a hypervisor enters its guest: `sti; hlt` may sleep
# for ever.
#
# qemu-system-x86 1:7.2 (Debian 12), -accel tcg. STI and MOV SS hold interrupts off for one instruction more, so that `sti; hlt` can't
# lose the interrupt that is to wake it. A #VMEXIT between the two keeps that in the VMCB (INTERRUPT_SHADOW, AMD's manual, volume 2,
# 15.21.5), and one would expect VMRUN to go on with it. QEMU stores the bit at the exit and never reads it: with the bit set, a
# virtual interrupt pending, and HLT as the guest's next instruction, the exit should be the intercepted HLT; it is the interrupt, as
# it is without the bit. With Linux's kvm-amd in such a machine, now and then an interrupt of the emulated machine comes between a
# guest's STI and HLT; KVM then delivers the guest's interrupt before the HLT, and a guest that waits for just that one never wakes:
# a program that does little else, run again and again, first slept so in run 13, 19, 435, 533 and 580 of five tries.
#
# Seen:
#   no interrupt shadow: exit 64
#   interrupt shadow:    exit 64
# 0x64 is the virtual interrupt, as it should be in the first line; the second should be 0x78, HLT.
#
# Needs: qemu-system-x86, binutils. Exit codes: 0 as described, 1 it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >hypervisor.s <<'END_OF_SOURCE'
    .intel_syntax noprefix
    .code32
    .set magic, 0x1badb002
    .set flags, 0x10000
    .globl start
    .balign 4
header:
    .long magic, flags, -(magic + flags)
    .long header, load_start, load_end, bss_end, start

# write a byte to port 0xe9 as QEMU's debug console shows it
show:
    mov dx, 0xe9
    out dx, al
    ret

show_nibble:
    and al, 15
    cmp al, 10
    jb 1f
    add al, 'a' - '0' - 10
1:  add al, '0'
    jmp show

start:
    mov esp, offset stack_end
    mov ecx, 0xc0000080             # EFER
    rdmsr
    or eax, 1 << 12                 # SVME
    wrmsr
    mov ecx, 0xc0010117             # VM_HSAVE_PA
    mov eax, offset host_save
    xor edx, edx
    wrmsr
    mov dword ptr vmcb + 0x68, 0    # INTERRUPT_SHADOW
    call run
    mov dword ptr vmcb + 0x68, 1
    call run
    mov al, 0
    mov dx, 0xf4
    out dx, al
    hlt

run:
    mov dword ptr vmcb + 0x00c, 1 << 4 | 1 << 24 | 1 << 31  # intercepts: VINTR, HLT, SHUTDOWN
    mov dword ptr vmcb + 0x010, 1                           # VMRUN
    mov dword ptr vmcb + 0x040, offset permissions          # of ports
    mov dword ptr vmcb + 0x048, offset permissions          # of MSRs
    mov dword ptr vmcb + 0x058, 1                           # ASID
    mov dword ptr vmcb + 0x060, 1 << 8 | 1 << 20 | 1 << 24  # V_IRQ, V_IGN_TPR, V_INTR_MASKING
    mov dword ptr vmcb + 0x064, 0x20                        # V_INTR_VECTOR
    mov word ptr vmcb + 0x410, cs
    mov word ptr vmcb + 0x412, 0xc9b
    mov dword ptr vmcb + 0x414, 0xffffffff
    mov ecx, offset vmcb + 0x400                            # ES
    call data_segment
    mov ecx, offset vmcb + 0x420                            # SS
    call data_segment
    mov ecx, offset vmcb + 0x430                            # DS
    call data_segment
    mov dword ptr vmcb + 0x4d0, 1 << 12                     # EFER: SVME
    mov dword ptr vmcb + 0x558, 0x11                        # CR0: protected mode
    mov dword ptr vmcb + 0x560, 0x400                       # DR7
    mov dword ptr vmcb + 0x568, 0xffff0ff0                  # DR6
    mov dword ptr vmcb + 0x570, 0x202                       # RFLAGS: interrupts are on
    mov dword ptr vmcb + 0x578, offset guest                # RIP
    mov dword ptr vmcb + 0x5d8, offset stack_end
    mov eax, offset vmcb
    vmrun
    mov al, byte ptr vmcb + 0x70                            # EXITCODE
    shr al, 4
    call show_nibble
    mov al, byte ptr vmcb + 0x70
    call show_nibble
    mov al, '\n'
    jmp show

data_segment:
    mov word ptr [ecx], ds
    mov word ptr [ecx + 2], 0xc93
    mov dword ptr [ecx + 4], 0xffffffff
    ret

guest:
    hlt
    jmp guest

    .balign 4096
vmcb:
    .skip 4096
host_save:
    .skip 4096
permissions:
    .skip 4096 * 4
stack:
    .skip 4096
stack_end:
END_OF_SOURCE
as --32 hypervisor.s -o hypervisor.o
ld -m elf_i386 -N --no-warn-rwx-segments -Ttext 0x100000 --defsym load_start=0x100000 --defsym load_end=0 --defsym bss_end=0 -e start hypervisor.o -o hypervisor.elf
# QEMU ends with 1 = 0 * 2 + 1.
timeout 60 qemu-system-x86_64 -M pc -accel tcg -cpu EPYC -m 64 -nodefaults -display none -no-reboot -kernel hypervisor.elf \
    -debugcon file:exits -device isa-debug-exit,iobase=0xf4,iosize=1 2>/dev/null || [ $? -eq 1 ]
{
    echo "no interrupt shadow: exit $(sed -n 1p exits)"
    echo "interrupt shadow:    exit $(sed -n 2p exits)"
} >result
qemu-system-x86_64 --version | head -n 1
cat result
printf '%s\n' "no interrupt shadow: exit 64" "interrupt shadow:    exit 64" >expected
cmp -s result expected || {
    echo "this has changed" >&2
    exit 1
}
