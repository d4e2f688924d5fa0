# Maps the memory above 4 GiB, writes to each 256 MiB of it, and reads back what it wrote.
    .intel_syntax noprefix
    .code64
    .set first, 0x100000000
    .set last, 0x180000000          # of --memory 5G: 3 GiB lie below 4 GiB
    .set step, 0x10000000
    .text
    .global start
start:
    mov rax, cr3                    # the tables that the machine starts with: the first entry leads to the GiB table
    mov rbx, [rax]
    and rbx, -4096
    lea rdi, [rip + directories]
    mov rax, rdi
    or rax, 3                       # present, writable
    mov [rbx + 8 * 4], rax
    add rax, 4096
    mov [rbx + 8 * 5], rax
    mov rax, first + 0x83           # pages of 2 MiB
    mov ecx, 1024
1:  mov [rdi], rax
    add rax, 0x200000
    add rdi, 8
    dec ecx
    jnz 1b
    mov rdx, last
    mov rax, first
2:  mov [rax], rax
    add rax, step
    cmp rax, rdx
    jb 2b
    lea rsi, [rip + wrong]
    mov ecx, offset wrong_end - wrong
    mov rax, first
3:  cmp [rax], rax
    jne print
    add rax, step
    cmp rax, rdx
    jb 3b
    lea rsi, [rip + right]
    mov ecx, offset right_end - right
print:
    mov edx, 0x3f8
    cld
    rep outsb
    mov edx, 0x604                  # powers the machine off
    mov eax, 0x3400
    out dx, ax
    cli
    hlt

    .section .rodata
right:
    .ascii "2 GiB above 4 GiB: ok\n"
right_end:
wrong:
    .ascii "memory above 4 GiB does not keep what is written\n"
wrong_end:
    .bss
    .balign 4096
directories:
    .skip 8192
