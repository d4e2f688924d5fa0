# Every vCPU runs this: each prints its letter on COM1 when its turn has come (A is vCPU 0), and halts.
    .intel_syntax noprefix
    .code16
    mov eax, 1
    cpuid
    shr ebx, 24                     # the initial APIC ID is the vCPU's index
1:  cmp byte ptr [turn], bl
    je 2f
    pause
    jmp 1b
2:  mov dx, 0x3f8
    lea ax, [bx + 'A']
    out dx, al
    mov al, '\n'
    out dx, al
    lock inc byte ptr [turn]
    hlt

turn:
    .byte 0
