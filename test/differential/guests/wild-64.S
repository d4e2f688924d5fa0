# A read through a pointer that no page table knows.
    .intel_syntax noprefix
    .code64
    mov al, 1
    out 0x20, al
    mov rbx, 0x123456789000
    mov rax, [rbx]
    out 0x20, al
    hlt
