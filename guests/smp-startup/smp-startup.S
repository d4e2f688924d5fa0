# The CPU that boots starts all others with INIT and SIPI. Each prints its letter on COM1 when its turn has come, and halts.
    .intel_syntax noprefix
    .code16
    mov ax, cs                      # a CPU that is started has no other segment
    mov ds, ax
    mov ecx, 0x1b                   # IA32_APIC_BASE
    rdmsr
    bt eax, 8                       # set: this is the CPU that boots
    jnc 1f
    or eax, 0xc00                   # x2APIC: its registers are MSRs, so that 16-bit mode reaches them
    wrmsr
    mov ecx, 0x830                  # the interrupt command register; the commands go to all but this CPU
    xor edx, edx
    mov eax, 0xc4500                # INIT
    wrmsr
    mov eax, 0xc4610                # start-up at page 0x10: this code, with the segment 0x1000
    wrmsr
1:  mov eax, 1
    cpuid
    shr ebx, 24                     # the initial APIC ID
2:  cmp byte ptr [turn], bl
    je 3f
    pause
    jmp 2b
3:  mov dx, 0x3f8
    lea ax, [bx + 'A']
    out dx, al
    mov al, '\n'
    out dx, al
    lock inc byte ptr [turn]
    cli
    hlt

turn:
    .byte 0
