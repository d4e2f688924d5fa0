# An ELF file without any boot protocol, of 64-bit code.
    .intel_syntax noprefix
    .code64
    .text
    .global start
start:
    push 0x12345678             # there is a stack
    pop rax
    lea rsi, [rip + failed]
    mov ecx, offset failed_end - failed
    cmp rax, 0x12345678
    jne print
    mov rax, 0x100000000        # a register of 64 bits
    shr rax, 32
    cmp eax, 1
    jne print
    lea rdi, [rip + zeros]      # what the file has no bytes for
    mov ecx, offset zeros_end - zeros
    xor eax, eax
    cld
    repe scasb
    lea rsi, [rip + failed]
    mov ecx, offset failed_end - failed
    jne print
    lea rsi, [rip + ok]
    mov ecx, offset ok_end - ok
print:
    mov edx, 0x3f8
    rep outsb
end:
    mov edx, 0x604              # powers the machine off
    mov eax, 0x2000
    out dx, ax
    cli
    hlt
    jmp end

    .section .rodata
ok:
    .ascii "elf64 ok\n"
ok_end:
failed:
    .ascii "elf64 failed\n"
failed_end:
    .bss
zeros:
    .skip 8192
zeros_end:
