# Devices in memory, eight bytes at a time.
    .intel_syntax noprefix
    .code64
    mov ebx, 0xd0000000
    mov rax, [rbx]
    mov [rbx + 8], rax
    mov rax, [rbx + 0x11]
    mov [rbx + 0x21], rax
    mov rax, [rbx + 0xffc]
    mov rax, [rbx + 0xfff]
    mov [rbx + 0x1ff9], rax
    add qword ptr [rbx + 0x30], 5
    lock xadd [rbx + 0x38], rax
    movsxd rcx, dword ptr [rbx + 0x40]
    mov edx, 0x20
    mov rax, rcx
    out dx, eax
    shr rax, 32
    out dx, eax
    hlt
