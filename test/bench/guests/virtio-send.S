# Sends buffers through queue 1 of a virtio device on virtio-mmio: of a console or of a network card. The numbers from offset 4 on
# say how many buffers, of which device (its ID), how many bytes each (4095 at most), and whether it waits for a byte of its serial
# port before. Up to 32 buffers are under way. It polls the used ring, asks for no interrupt, and notifies once for all that it
# offers together. It sends '<' when it is ready and '>' when the device has taken all.
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
    .set queue_size, 64
    .set under_way, 32
    .set descriptors, 0x100000
    .set available, 0x101000
    .set used, 0x102000
    .set buffer, 0x103000
    jmp start
    .balign 4
count:
    .long 1000
device:
    .long 3
bytes:
    .long 2048
waits:
    .long 0
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
    mov ecx, [load_at + device]
    mov edi, 0xfeb00000
1:  cmp dword ptr [edi], 0x74726976
    jne 2f
    cmp dword ptr [edi + device_id], ecx
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
    mov dword ptr [edi + queue_sel], 1
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

    # All buffers are the same bytes. The device takes them in order: place n of the ring is always descriptor n modulo 32.
    xor ecx, ecx
1:  mov eax, ecx
    and eax, under_way - 1
    mov [available + 4 + 2 * ecx], ax
    shl eax, 4
    mov dword ptr [descriptors + eax], buffer
    mov ebx, [load_at + bytes]
    mov [descriptors + eax + 8], ebx
    inc ecx
    cmp ecx, queue_size
    jb 1b
    # A console's text. A card's header of 12 zeros and a frame to everybody, of a type for experiments.
    cmp dword ptr [load_at + device], 1
    je 2f
    mov eax, 0x2e2e2e2e
    mov edx, edi
    mov edi, buffer
    mov ecx, 1024
    rep stosd
    mov edi, edx
    jmp 3f
2:  mov dword ptr [buffer + 12], -1
    mov word ptr [buffer + 16], -1
    mov word ptr [buffer + 24], 0xb588

3:  mov al, '<'
    call send
    cmp dword ptr [load_at + waits], 0
    je 5f
    mov dx, com1 + 5
4:  in al, dx
    test al, 1
    jz 4b
    mov dx, com1
    in al, dx
    # esi: still to be offered. ebx: offered. Both rings count modulo 65536.
5:  mov esi, [load_at + count]
    xor ebx, ebx
6:  movzx ecx, word ptr [used + 2]
    mov eax, ebx
    sub ax, cx
    movzx eax, ax
    mov ecx, under_way
    sub ecx, eax
    cmp ecx, esi
    jbe 7f
    mov ecx, esi
7:  jecxz 8f
    sub esi, ecx
    add bx, cx
    mov [available + 2], bx
    lock or dword ptr [esp], 0
    test byte ptr [used], 1
    jnz 6b
    mov dword ptr [edi + queue_notify], 1
    jmp 6b
    # Nothing can be offered: all are under way, or it is the end.
8:  pause
    test esi, esi
    jnz 6b
    test eax, eax
    jnz 6b
    mov al, '>'
    call send
    end_guest

failed:
    mov al, '!'
    call send
    end_guest

send:
    mov dx, com1
    out dx, al
    ret
