# Sends a byte when it is ready, reads pages of 4 KiB at random from a virtio disk of 64 MiB on virtio-mmio, sends a byte, and ends.
# The number at offset 4 says how many, the one at offset 8 how many are asked for at a time (1 to 32). It polls the used ring,
# asks for no interrupt, and notifies once for all that it asks for together.
    .intel_syntax noprefix
    .code16
    .include "end.inc"
    .set load_at, 0x10000
    .set com1, 0x3f8
    # Registers of virtio-mmio (virtio 1.2, 4.2.2).
    .set device_id, 0x08
    .set driver_features, 0x20
    .set driver_features_sel, 0x24
    .set queue_sel, 0x30
    .set queue_num, 0x38
    .set queue_ready, 0x44
    .set queue_notify, 0x50
    .set status, 0x70
    .set queue_desc, 0x80
    .set queue_driver, 0x90
    .set queue_device, 0xa0
    # Where things are.
    .set queue_size, 128
    .set descriptors, 0x100000
    .set available, 0x101000
    .set used, 0x102000
    .set headers, 0x103000
    .set answers, 0x104000
    .set buffers, 0x200000
    .set pages_mask, 0x3fff
    jmp start
    .balign 4
count:
    .long 1000
depth:
    .long 1
start:
    cli
    lgdt [gdt_pointer]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xea
    .long load_at + protected
    .word 8
    .balign 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
    .word . - gdt - 1
    .long load_at + gdt

    .code32
protected:
    mov eax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov esp, 0x90000
    mov edi, 0xfeb00000
1:  cmp dword ptr [edi], 0x74726976
    jne 2f
    cmp dword ptr [edi + device_id], 2
    je found
2:  add edi, 0x200
    cmp edi, 0xfeb20000
    jb 1b
    jmp failed

found:
    mov dword ptr [edi + status], 0
    mov dword ptr [edi + status], 1
    mov dword ptr [edi + status], 3
    mov dword ptr [edi + driver_features_sel], 1
    mov dword ptr [edi + driver_features], 1
    mov dword ptr [edi + driver_features_sel], 0
    mov dword ptr [edi + driver_features], 0
    mov dword ptr [edi + status], 0xb
    mov dword ptr [edi + queue_sel], 0
    mov dword ptr [edi + queue_num], queue_size
    mov dword ptr [edi + queue_desc], descriptors
    mov dword ptr [edi + queue_desc + 4], 0
    mov dword ptr [edi + queue_driver], available
    mov dword ptr [edi + queue_driver + 4], 0
    mov dword ptr [edi + queue_device], used
    mov dword ptr [edi + queue_device + 4], 0
    mov dword ptr [edi + queue_ready], 1
    mov dword ptr [edi + status], 0xf
    mov word ptr [available], 1

    # Request n has the descriptors 3n to 3n + 2: header, data, status.
    xor ecx, ecx
1:  imul ebx, ecx, 48
    add ebx, descriptors
    imul eax, ecx, 16
    add eax, headers
    mov [ebx], eax
    mov dword ptr [ebx + 8], 16
    mov word ptr [ebx + 12], 1
    lea edx, [ecx + 2 * ecx + 1]
    mov [ebx + 14], dx
    mov eax, ecx
    shl eax, 12
    add eax, buffers
    mov [ebx + 16], eax
    mov dword ptr [ebx + 24], 4096
    mov word ptr [ebx + 28], 3
    inc edx
    mov [ebx + 30], dx
    lea eax, [ecx + answers]
    mov [ebx + 32], eax
    mov dword ptr [ebx + 40], 1
    mov word ptr [ebx + 44], 2
    inc ecx
    cmp ecx, [load_at + depth]
    jb 1b

    mov al, '<'
    call send
    # esi: still to be asked for. ebp: still to be answered. ebx: the last random number.
    mov esi, [load_at + count]
    mov ebp, esi
    mov ebx, 1
    xor ecx, ecx
1:  call ask
    inc ecx
    cmp ecx, [load_at + depth]
    jb 1b
2:  lock or dword ptr [esp], 0
    test byte ptr [used], 1
    jnz 3f
    mov dword ptr [edi + queue_notify], 0
3:  pause
    mov ax, [used + 2]
    cmp ax, [load_at + seen]
    je 3b
4:  movzx ecx, word ptr [load_at + seen]
    and ecx, queue_size - 1
    mov eax, [used + 4 + 8 * ecx]
    xor edx, edx
    mov ecx, 3
    div ecx
    mov ecx, eax
    cmp byte ptr [answers + ecx], 0
    jne failed
    inc word ptr [load_at + seen]
    dec ebp
    jz 5f
    test esi, esi
    jz 6f
    call ask
6:  mov ax, [used + 2]
    cmp ax, [load_at + seen]
    jne 4b
    jmp 2b
5:  mov al, '>'
    call send
    end_guest

failed:
    mov al, '!'
    call send
    end_guest

# Offers request ecx to the device, for the next random page.
ask:
    imul ebx, ebx, 1664525
    add ebx, 1013904223
    mov eax, ebx
    shr eax, 8
    and eax, pages_mask
    shl eax, 3
    mov edx, ecx
    shl edx, 4
    mov [headers + 8 + edx], eax
    mov byte ptr [answers + ecx], 0xff
    movzx eax, word ptr [available + 2]
    and eax, queue_size - 1
    lea edx, [ecx + 2 * ecx]
    mov [available + 4 + 2 * eax], dx
    inc word ptr [available + 2]
    dec esi
    ret

send:
    mov dx, com1
    out dx, al
    ret

    .balign 4
seen:
    .long 0
