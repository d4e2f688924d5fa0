# Sends a byte when it is ready, reads pages of 4 KiB at random from a virtio disk of 64 MiB on virtio-mmio, sends a byte and how
# often it has notified the device (4 bytes, little-endian), and ends.
# The number at offset 4 says how many, the one at offset 8 how many are asked for at a time (1 to 32). It polls the used ring,
# asks for no interrupt, and notifies once for all that it asks for together. Few instructions are between an answer and the next request.
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
    .set sectors, 0x400000
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

    # The sectors that will be asked for: what is computed now takes no time between two requests.
    cld
    push edi
    mov edi, sectors
    mov ebx, 1
    mov ecx, [load_at + count]
1:  imul ebx, ebx, 1664525
    add ebx, 1013904223
    mov eax, ebx
    shr eax, 8
    and eax, pages_mask
    shl eax, 3
    stosd
    loop 1b
    mov ebp, edi
    pop edi
    mov esi, sectors

    # Request n has the descriptors 4n to 4n + 2: header, data, status.
    xor ecx, ecx
1:  mov ebx, ecx
    shl ebx, 6
    add ebx, descriptors
    mov eax, ecx
    shl eax, 4
    add eax, headers
    mov [ebx], eax
    mov dword ptr [ebx + 8], 16
    mov word ptr [ebx + 12], 1
    lea edx, [4 * ecx + 1]
    mov [ebx + 14], dx
    mov eax, ecx
    shl eax, 12
    add eax, buffers
    mov [ebx + 16], eax
    mov dword ptr [ebx + 24], 4096
    mov word ptr [ebx + 28], 3
    inc edx
    mov [ebx + 30], dx
    lea eax, [4 * ecx + answers]
    mov [ebx + 32], eax
    mov dword ptr [ebx + 40], 1
    mov word ptr [ebx + 44], 2
    inc ecx
    cmp ecx, [load_at + depth]
    jb 1b

    mov al, '<'
    call send
    # esi: the next sector to ask for, ebp: behind the last one. ecx: requests that were made, ebx: answers that were taken.
    xor ecx, ecx
    xor ebx, ebx
1:  lea edx, [4 * ecx]
    call ask
    cmp ecx, [load_at + depth]
    jb 1b
notify:
    lock or dword ptr [esp], 0
    test byte ptr [used], 1
    jnz waiting
    mov dword ptr [edi + queue_notify], 0
    inc dword ptr [load_at + notifications]
waiting:
    cmp bx, [used + 2]
    jne take
    pause
    jmp waiting
take:
    mov edx, ebx
    and edx, queue_size - 1
    mov edx, [used + 4 + 8 * edx]
    inc ebx
    cmp byte ptr [answers + edx], 0
    jne failed
    cmp esi, ebp
    je no_more
    call ask
taken:
    cmp bx, [used + 2]
    jne take
    jmp notify
no_more:
    cmp ebx, [load_at + count]
    jne taken
    mov al, '>'
    call send
    mov ebx, [load_at + notifications]
    mov ecx, 4
1:  mov al, bl
    call send
    shr ebx, 8
    loop 1b
    end_guest

failed:
    mov al, '!'
    call send
    end_guest

# Offers the request whose first descriptor is edx to the device, for the next sector.
ask:
    lodsd
    mov [headers + 8 + 4 * edx], eax
    mov byte ptr [answers + edx], 0xff
    mov eax, ecx
    and eax, queue_size - 1
    mov [available + 4 + 2 * eax], dx
    inc ecx
    mov [available + 2], cx
    ret

send:
    mov dx, com1
    out dx, al
    ret

    .balign 4
notifications:
    .long 0
