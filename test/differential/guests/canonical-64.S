# A write through a pointer that is none.
    .intel_syntax noprefix
    .code64
    mov al, 1
    out 0x20, al
    mov rbx, 0x8000123456789000
    mov [rbx], rax
    out 0x20, al
    hlt
