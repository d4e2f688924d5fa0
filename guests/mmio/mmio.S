# Writes to a debug console in memory, in all widths and as a string, reads it back, and prints "mmio ok" there.
# It wants --mode 32 --device debugcon,mmio=0xd0000000.
    .intel_syntax noprefix
    .code32
    .set console, 0xd0000000
    cld
    call here
here:
    pop ebp
    mov edi, console
    mov byte ptr [edi], '1'
    mov word ptr [edi + 2], 0x3232                  # "22"
    mov dword ptr [edi + 4], 0x34343434             # "4444"
    mov byte ptr [edi], '\n'
    mov ecx, offset text_ok - text_string
    lea esi, [ebp + text_string - here]
1:  movsb                                           # to the same address each time
    dec edi
    dec ecx
    jnz 1b
    cmp byte ptr [edi], 0xe9
    jne failed
    cmp word ptr [edi], 0xe9e9
    jne failed
    cmp dword ptr [edi], 0xe9e9e9e9
    jne failed
    lea esi, [ebp + text_ok - here]
    mov ecx, offset text_failed - text_ok
    jmp print
failed:
    lea esi, [ebp + text_failed - here]
    mov ecx, offset end - text_failed
print:
    lodsb
    mov byte ptr [edi], al
    dec ecx
    jnz print
    hlt

text_string:
    .ascii "string\n"
text_ok:
    .ascii "mmio ok\n"
text_failed:
    .ascii "mmio failed\n"
end:
