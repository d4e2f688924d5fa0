# Sends a byte when it is ready, then each byte that it gets, from the handler of COM1's interrupt (IRQ 4), waiting in HLT in between.
# Ends after as many as the number at offset 4 says.
    .intel_syntax noprefix
    .code16
    .include "end.inc"
    .set com1, 0x3f8
    .set vectors, 0x20
    jmp start
    .balign 4
count:
    .long 1000
start:
    # QEMU starts the local APIC as after a reset, without a way for the PIC: x2APIC's registers need no memory.
    mov eax, 1
    cpuid
    bt ecx, 21
    jnc 1f
    mov ecx, 0x1b
    rdmsr
    or eax, 0xc00
    wrmsr
    xor edx, edx
    mov ecx, 0x80f
    mov eax, 0x1ff
    wrmsr
    mov ecx, 0x835
    mov eax, 0x700
    wrmsr
1:  xor ax, ax
    mov es, ax
    mov word ptr es:[4 * (vectors + 4)], offset handler
    mov es:[4 * (vectors + 4) + 2], cs
    mov ax, cs
    mov ss, ax
    mov sp, 0xf000
    mov al, 0x11
    out 0x20, al
    mov al, vectors
    out 0x21, al
    mov al, 4
    out 0x21, al
    mov al, 1
    out 0x21, al
    mov al, 0xef
    out 0x21, al
    mov dx, com1 + 4
    mov al, 0x08
    out dx, al
    mov dx, com1 + 1
    mov al, 0x01
    out dx, al
    mov dx, com1
    mov al, '<'
    out dx, al
    mov ecx, [count]
2:  sti
    hlt
    cli
    test ecx, ecx
    jnz 2b
    end_guest

handler:
    mov dx, com1
    in al, dx
    out dx, al
    dec ecx
    mov al, 0x20
    out 0x20, al
    iret
