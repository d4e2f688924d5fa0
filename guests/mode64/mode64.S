# Checks that the processor is in 64-bit mode; prints "mode 64 ok" or "mode 64 failed".
    .intel_syntax noprefix
    .code64
    .set msr_efer, 0xc0000080
    cld
    mov rax, cr0
    bt rax, 31              # CR0.PG
    jnc failed
    mov ecx, msr_efer
    rdmsr
    bt eax, 10              # EFER.LMA
    jnc failed
    mov rax, 0x123456789abcdef0     # operands have 64 bits, and there are 16 registers
    mov r15, 0x0fedcba987654321
    mov r8, rax
    mul r15
    mov r9, 0x0121fa00ad77d742
    cmp rdx, r9
    jne failed
    mov r9, 0x2236d88fe5618cf0
    cmp rax, r9
    jne failed
    xor eax, eax            # a 32-bit result clears the upper half
    mov r8d, eax
    test r8, r8
    jnz failed
    mov eax, ds             # the descriptors of the segments are there
    mov ds, eax
    mov es, eax
    mov eax, ss
    mov ss, eax
    mov eax, cs
    push rax
    lea rax, [rip + returned]
    push rax
    retfq
returned:
    mov rax, qword ptr [rip + text_ok]
    lea rbx, [rip + text_ok]
    cmp rax, qword ptr [rbx]
    jne failed
    mov rsi, rbx
    mov ecx, offset text_failed - text_ok
    jmp print
failed:
    lea rsi, [rip + text_failed]
    mov ecx, offset end - text_failed
print:
    mov edx, 0xe9
    rep outsb
    hlt

text_ok:
    .ascii "mode 64 ok\n"
text_failed:
    .ascii "mode 64 failed\n"
end:
