# Accesses of 1, 2 and 4 bytes at ports that are there, and at ports that are not: those read all-ones.
    .intel_syntax noprefix
    .code16
    .set console, 0xe9
    .set absent, 0x1234

    mov eax, 0x89abcdef
    out 0x10, al
    out 0x10, ax
    out 0x10, eax
    mov eax, 0x11111111             # a narrow read leaves the rest of the register alone
    in al, 0x10
    cmp eax, 0x11111100
    jne failed
    in ax, 0x10
    cmp eax, 0x11110001
    jne failed
    in eax, 0x10
    cmp eax, 2
    jne failed

    mov dx, console
    mov eax, 0x0a6b6f2e             # ".ok\n"
    out dx, eax
    xor eax, eax
    in al, dx
    cmp eax, 0xe9
    jne failed

    mov dx, absent
    mov al, 1
    out dx, al                      # vanishes
    out dx, ax
    out dx, eax
    xor eax, eax
    in al, dx
    cmp eax, 0xff
    jne failed
    xor eax, eax
    in ax, dx
    cmp eax, 0xffff
    jne failed
    in eax, dx
    cmp eax, 0xffffffff
    jne failed

    mov si, offset text_ok
    mov cx, offset text_failed - text_ok
    jmp print
failed:
    mov si, offset text_failed
    mov cx, offset end - text_failed
print:
    cld
    mov dx, console
    rep outsb
    hlt

text_ok:
    .ascii "widths ok\n"
text_failed:
    .ascii "widths failed\n"
end:
