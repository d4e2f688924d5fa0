# The initial APIC ID, and a few instructions on what long mode changes.
    .intel_syntax noprefix
    .code64
    mov eax, 1
    cpuid
    shr ebx, 24
    mov eax, ebx
    out 0x20, eax
    mov rax, -1
    mov eax, 5                      # clears the upper half
    shr rax, 1
    out 0x20, eax
    push -2
    pop rax
    sar rax, 40
    out 0x20, eax
    call 1f
1:  pop rax
    sub eax, 0x10000
    out 0x20, eax
    mov rax, cr0
    and eax, 0x80000011
    out 0x20, eax
    mov ax, cs
    out 0x20, ax
    mov ax, ss
    out 0x20, ax
    hlt
