# Sends numbered blocks of 1024 bytes through the debug console, four bytes an access: see README.md.
# ECX at the start: how many blocks; 0: a block for each byte that arrives on COM1, until that byte is Ctrl-D (4).
    .intel_syntax noprefix
    .code16
    .set console, 0xe9
    .set data, 0x3f8
    .set line_status, 0x3fd
    .set data_ready, 0x01
    .set end_of_input, 4
    .set letters, 26
    .set filler_size, 1024 - 15 - 1 # beside the header and the newline
    .set step, filler_size - filler_size / letters * letters

    cld
    mov ebp, ecx
    mov di, offset alphabets        # the filler, from whatever letter it starts, is a piece of this
    mov cx, offset filler_size + letters - 1
    mov al, 'a'
1:  stosb
    inc al
    cmp al, 'z'
    jbe 2f
    mov al, 'a'
2:  dec cx
    jnz 1b
    xor bx, bx                      # the letter that the next filler starts with

next_block:
    test ebp, ebp
    jnz send
request:
    mov dx, line_status
    in al, dx
    test al, data_ready
    jz request
    mov dx, data
    in al, dx
    cmp al, end_of_input
    je done

send:
    mov si, offset digits_end - 1   # the next number, in decimal
3:  inc byte ptr [si]
    cmp byte ptr [si], '9'
    jbe 4f
    mov byte ptr [si], '0'
    dec si
    cmp si, offset digits
    jae 3b
4:  mov dx, console
    mov al, [bx + offset alphabets] # the 15 bytes of the header and the first of the filler
    mov [header_end], al
    mov si, offset header
    mov cx, 4
    rep outsd
    lea si, [bx + offset alphabets + 1]
    mov cx, (filler_size - 1) / 4
    rep outsd
    mov eax, [si]                   # the last three bytes of the filler and the newline
    and eax, 0x00ffffff
    or eax, 0x0a000000
    out dx, eax
    add bx, step
    cmp bx, letters
    jb 5f
    sub bx, letters
5:  test ebp, ebp
    jz next_block
    dec ebp
    jnz next_block
done:
    hlt

header:
    .ascii "block "
digits:
    .ascii "00000000"
digits_end:
    .ascii " "
header_end:
    .byte 0
alphabets:                          # in memory behind the image
