# Checks that the processor is in real mode, with 16-bit segments; prints "mode 16 ok" or "mode 16 failed".
    .intel_syntax noprefix
    .code16
    cld
    smsw ax
    test al, 1              # CR0.PE
    jnz failed
    mov ax, 0xffff          # operands have 16 bits
    add ax, 2
    jnc failed
    cmp ax, 1
    jne failed
    mov ax, cs              # all segments are the same
    mov bx, ds
    cmp ax, bx
    jne failed
    mov bx, es
    cmp ax, bx
    jne failed
    mov bx, ss
    cmp ax, bx
    jne failed
    call here               # the stack works
here:
    pop ax
    cmp ax, offset here
    jne failed
    push cs                 # a far return reloads CS as in real mode
    push offset returned
    retf
returned:
    mov si, offset text_ok
    mov cx, offset text_failed - text_ok
    jmp print
failed:
    mov si, offset text_failed
    mov cx, offset end - text_failed
print:
    mov dx, 0xe9
    rep outsb
    hlt

text_ok:
    .ascii "mode 16 ok\n"
text_failed:
    .ascii "mode 16 failed\n"
end:
