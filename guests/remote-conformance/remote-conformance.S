# The conformance device of docs/remote-devices.md, register by register, from the guest's side: a line a check, then "done".
    .intel_syntax noprefix
    .code16
    .set pic, 0x20
    .set end_of_interrupt, 0x20
    .set irq, 5
    .set scratch, 0x300
    .set fifo, 0x304
    .set fill, 0x305
    .set level, 0x306
    .set delay, 0x307
    .set address, 0x308
    .set increment, 0x30c
    .set say, 0x30d
    .set resets, 0x30e
    .set serial, 0x3f8

# Prints the line of a check: "ok - ..." if the last comparison was equal, otherwise "not ok - ...".
    .macro check text
    jz 1f
    mov si, offset not_ok
    call print
1:  mov si, offset text\@
    call print
    jmp 2f
text\@:
    .asciz "ok - \text\n"
2:
    .endm

    .macro write port, value        # 8 bits
    mov dx, \port
    mov al, \value
    out dx, al
    .endm

    .macro read port
    mov dx, \port
    in al, dx
    .endm

    cld
    xor ax, ax
    mov es, ax
    mov word ptr es:[4 * (0x20 + irq)], offset interrupt
    mov es:[4 * (0x20 + irq) + 2], cs
    mov ax, cs
    mov es, ax
    write pic, 0x11                 # the PIC: four initialisation words
    write pic + 1, 0x20             # its vectors begin at 0x20
    write pic + 1, 4                # the second PIC is on input 2
    write pic + 1, 1                # 8086 mode
    write pic + 1, ~(1 << irq) & 0xff

    mov dx, scratch
    in eax, dx
    cmp eax, 0x12345678
    check "scratch: the first value, 4 bytes"
    mov dx, scratch
    mov eax, 0xcafebabe
    out dx, eax
    mov ax, 0x1122
    inc dx
    out dx, ax
    mov al, 0x33
    add dx, 2
    out dx, al
    mov dx, scratch
    in eax, dx
    cmp eax, 0x331122be
    check "scratch: writes of 4, 2 and 1 bytes"
    mov dx, scratch + 1
    in ax, dx
    cmp ax, 0x1122
    check "scratch: a read of 2 bytes across"

    read fifo
    cmp al, 0xff
    check "FIFO: empty, it gives 0xff"
    write fifo, 7
    write fifo, 8
    read fill
    mov ah, al
    read fifo
    cmp ax, 0x0207
    check "FIFO: two bytes in, the first one out"
    read fifo
    cmp al, 8
    check "FIFO: the second one"

    mov dx, fifo
    mov si, offset pattern
    mov cx, 64
    rep outsb
    mov di, offset buffer
    mov cx, 64
    rep insb
    mov si, offset pattern
    mov di, offset buffer
    mov cx, 64
    repe cmpsb
    check "strings: 64 bytes through the FIFO"
    mov dx, scratch
    mov si, offset pattern
    mov cx, 3
    rep outsd
    mov di, offset buffer
    mov cx, 3
    rep insd
    mov eax, [buffer + 8]
    cmp eax, [pattern + 8]
    check "strings: elements of 4 bytes, all to one place"

    write level, 1
    read level                      # a write may be posted: it is done when a later read has been answered
    mov bl, al
    mov cl, 1
    call await_interrupt
    check "interrupt: it has come when the line is seen to be high"
    read level
    mov bh, al
    cmp bx, 1
    check "interrupt: the level reads 1, and 0 after the handler has lowered the line"
    write level, 1
    read level
    mov cl, 2
    call await_interrupt
    check "interrupt: and again"

    write delay, 5
    read delay
    cmp al, 5
    check "delay: a write that takes its time"

    xor eax, eax
    mov ax, cs
    shl eax, 4
    add eax, offset buffer
    mov dx, address
    out dx, eax
    mov si, offset pattern
    mov di, offset buffer
    mov cx, 64
    rep movsb
    write increment, 63
    read increment
    cmp al, 0
    check "memory: the device says that it went well"
    mov si, offset buffer
    mov cx, 63
    mov ah, [pattern]
1:  inc ah
    lodsb
    cmp al, ah
    loope 1b
    check "memory: each byte is one more"
    mov al, [buffer + 63]
    cmp al, [pattern + 63]
    check "memory: and not the one behind"
    mov dx, address
    mov eax, 0xf0000000             # no RAM
    out dx, eax
    write increment, 8
    read increment
    cmp al, 1
    check "memory: an address without RAM is refused"

    write say, 1
    read resets
    cmp al, 0
    check "resets: none has come"
    mov si, offset done
    call print
    hlt

# Until the handler has run cl times, or for a while. Then the zero flag is set if it has.
await_interrupt:
    sti
    mov si, 0xffff
1:  cmp interrupts, cl
    je 2f
    dec si
    jnz 1b
2:  cli
    cmp interrupts, cl
    ret

interrupt:
    pusha
    inc byte ptr interrupts
    write level, 0
    write pic, end_of_interrupt
    popa
    iret

# The text at si, up to its NUL.
print:
    mov dx, serial
1:  lodsb
    test al, al
    jz 2f
    out dx, al
    jmp 1b
2:  ret

not_ok:
    .asciz "not "
done:
    .asciz "done\n"
interrupts:
    .byte 0
pattern:                            # 64 bytes: 100, 101, ...
    .set next, 100
    .rept 64
    .byte next
    .set next, next + 1
    .endr
buffer:                             # in memory behind the image
