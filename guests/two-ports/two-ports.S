# vCPU 0 prints digits on COM1; vCPU 1 tells on COM2, when it is asked, how many there are so far: see README.md.
# ECX at the start: how many digits; 0: 4294967296.
    .intel_syntax noprefix
    .code16
    .set com1, 0x3f8
    .set com2, 0x2f8
    .set line_status, 5
    .set data_ready, 0x01
    .set end_of_input, 4

    mov esi, ecx
    mov eax, 1
    cpuid
    shr ebx, 24                     # the initial APIC ID is the vCPU's index
    jnz answer

    mov dx, com1
    mov al, '0'
1:  cmp byte ptr [stop], 0
    jne done
    out dx, al
    inc dword ptr [printed]
    inc al
    cmp al, '9'
    jbe 2f
    mov al, '0'
2:  dec esi
    jnz 1b
done:
    hlt

answer:
    mov dx, com2 + line_status
    in al, dx
    test al, data_ready
    jz answer
    mov dx, com2
    in al, dx
    cmp al, end_of_input
    je stop_all
    mov ebx, [printed]
    mov cx, 8
3:  rol ebx, 4
    mov al, bl
    and al, 15
    add al, '0'
    cmp al, '9'
    jbe 4f
    add al, 'a' - '9' - 1
4:  out dx, al
    dec cx
    jnz 3b
    mov al, '\n'
    out dx, al
    jmp answer
stop_all:
    inc byte ptr [stop]
    hlt

printed:
    .long 0
stop:
    .byte 0
