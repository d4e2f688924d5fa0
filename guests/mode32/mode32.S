# Checks that the processor is in flat protected mode with 32-bit segments; prints "mode 32 ok" or "mode 32 failed".
    .intel_syntax noprefix
    .code32
    cld
    call here               # where we are: the guest may be loaded anywhere
here:
    pop ebp
    mov eax, cr0
    test eax, 1             # CR0.PE
    jz failed
    test eax, 0x80000000    # CR0.PG: no paging
    jnz failed
    mov eax, 0xffffffff     # operands have 32 bits
    add eax, 2
    jnc failed
    cmp eax, 1
    jne failed
    mov eax, 0x12345678
    mov ecx, 0x9abcdef0
    mul ecx
    cmp edx, 0x0b00ea4e
    jne failed
    cmp eax, 0x242d2080
    jne failed
    mov eax, ds             # the descriptors of all segments are there
    mov ds, eax
    mov es, eax
    mov fs, eax
    mov gs, eax
    mov eax, ss
    mov ss, eax
    mov eax, cs
    push eax
    lea eax, [ebp + returned - here]
    push eax
    retf
returned:
    lea ebx, [ebp + text_ok - here]
    cmp byte ptr es:[ebx], 'm'
    jne failed
    mov esi, ebx
    mov ecx, offset text_failed - text_ok
    jmp print
failed:
    lea esi, [ebp + text_failed - here]
    mov ecx, offset end - text_failed
print:
    mov edx, 0xe9
    rep outsb
    hlt

text_ok:
    .ascii "mode 32 ok\n"
text_failed:
    .ascii "mode 32 failed\n"
end:
