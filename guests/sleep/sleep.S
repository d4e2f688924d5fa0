# Prints, sleeps for 100 ms on the sleep port, prints again, and halts.
    .intel_syntax noprefix
    .code16
    cld
    mov dx, 0xe9
    mov si, offset before
    mov cx, offset after - before
    rep outsb
    mov eax, 100000         # microseconds
    out 0xf2, eax
    mov si, offset after
    mov cx, offset end - after
    rep outsb
    hlt

before:
    .ascii "going to sleep\n"
after:
    .ascii "awake again\n"
end:
