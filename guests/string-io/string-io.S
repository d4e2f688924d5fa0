# String instructions at ports: REP OUTS to the debug console and REP INS from the counter, in all widths.
    .intel_syntax noprefix
    .code16
    .set console, 0xe9
    .set counter, 0x10

    cld
    mov dx, console
    mov si, offset text_bytes
    mov cx, offset text_words - text_bytes
    rep outsb
    mov cx, (text_longs - text_words) / 2
    rep outsw
    mov cx, (text_end - text_longs) / 4
    rep outsd

    mov dx, counter                 # reads 0, 1, 2, ...
    mov di, offset buffer
    mov cx, 5
    rep insb
    mov cx, 3
    rep insw
    mov cx, 2
    rep insd
    mov si, offset buffer
    mov di, offset expected
    mov cx, offset expected_end - expected
    repe cmpsb
    jne failed
    cmp si, offset buffer + (expected_end - expected)
    jne failed

    mov si, offset buffer + 5       # the three words, one line each
    mov cx, 3
    rep outsw
    std                             # and backwards
    sub si, 2
    mov cx, 3
    rep outsw
    cld
    mov si, offset text_ok
    mov cx, offset text_failed - text_ok
    jmp print
failed:
    mov si, offset text_failed
    mov cx, offset end - text_failed
print:
    mov dx, console
    rep outsb
    hlt

text_bytes:
    .ascii "bytes\n"
text_words:
    .ascii "words\n"
text_longs:
    .ascii "4 bytes\n"
text_end:
expected:
    .byte 0, 1, 2, 3, 4
    .word 5, 6, 7
    .long 8, 9
expected_end:
text_ok:
    .ascii "string-io ok\n"
text_failed:
    .ascii "string-io failed\n"
end:
buffer:                             # in memory behind the image
