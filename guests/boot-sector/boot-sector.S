# A boot sector, and a second sector that it reads from its disk. All that it says and hears goes through the BIOS: it prints,
# reads a sector, prints a text in one call, waits for a key, and powers the machine off.
    .intel_syntax noprefix
    .code16
    .set base, 0x7c00           # where a BIOS loads the first sector; this file is linked at 0
    .set second, 0x8000         # where this one loads the other

    xor ax, ax
    mov ds, ax
    mov es, ax
    mov [drive + base], dl
    mov si, offset greeting + base
    call print

    mov ax, 0x0201              # read 1 sector
    mov cx, 0x0002              # cylinder 0, sector 2
    mov dh, 0
    mov dl, [drive + base]
    mov bx, second
    int 0x13
    mov si, offset read_failed + base
    jc failed

    mov ah, 0x03                # where is the cursor?
    xor bh, bh
    int 0x10
    mov ax, 0x1301              # write a string there, and move the cursor
    mov bx, 7
    mov cx, [second]            # its length
    mov bp, second + 2
    int 0x10

    mov ah, 0                   # wait for a key
    int 0x16
    mov ah, 0x0e
    int 0x10
    mov si, offset newline + base
    call print
    jmp off
failed:
    call print
off:
    mov dx, 0x604               # power off
    mov ax, 0x2000
    out dx, ax
    hlt

print:
    lodsb
    test al, al
    jz 1f
    mov ah, 0x0e
    int 0x10
    jmp print
1:  ret

drive: .byte 0
greeting: .asciz "Hello from a boot sector\r\n"
read_failed: .asciz "The disk can't be read\r\n"
newline: .asciz "\r\n"

    .org 510
    .word 0xaa55

    # The second sector.
    .word text_end - text
text: .ascii "and from the sector behind it. A key, please: "
text_end:
