# Prints a line, then waits EBX microseconds on the sleep port, again and again.
    .intel_syntax noprefix
    .code16
    cld
1:  mov si, offset text
    mov cx, offset end - text
    mov dx, 0x3f8
    rep outsb
    mov dx, 0xf2
    mov eax, ebx
    out dx, eax
    jmp 1b
text:
    .ascii "still here\n"
end:
