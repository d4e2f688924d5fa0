# Reads sector 0 of a virtio disk, writes its bytes inverted to sector 1, flushes, reads sector 1 back and compares, without
# interrupts. Prints "virtio-blk ok" on the debug console if all of that worked. It wants --mode 32 and --disk: the disk is
# the first virtio device of the machine.
    .intel_syntax noprefix
    .code32
    .set device, 0xfeb00000
    # Its registers (virtio 1.2, 4.2.2).
    .set version, 0x004
    .set device_id, 0x008
    .set driver_features, 0x020
    .set driver_features_select, 0x024
    .set queue_select, 0x030
    .set queue_size_max, 0x034
    .set queue_size, 0x038
    .set queue_ready, 0x044
    .set queue_notify, 0x050
    .set status, 0x070
    .set queue_descriptors, 0x080
    .set queue_available, 0x090
    .set queue_used, 0x0a0
    # Where the rings and the buffers are.
    .set descriptors, 0x20000
    .set available, 0x21000
    .set used, 0x22000
    .set header, 0x23000
    .set answer, 0x23010
    .set first_sector, 0x24000
    .set second_sector, 0x25000
    .set sector_size, 512
    # Requests (5.2.6).
    .set request_in, 0
    .set request_out, 1
    .set request_flush, 4
    .set debug_console, 0xe9
    cld
    call here
here:
    pop ebp
    mov esp, 0x1f000
    mov ebx, device
    cmp dword ptr [ebx], 0x74726976                 # "virt"
    jne failed
    cmp dword ptr [ebx + version], 2
    jne failed
    cmp dword ptr [ebx + device_id], 2
    jne failed

    mov dword ptr [ebx + status], 0                 # reset, ACKNOWLEDGE, DRIVER
    mov dword ptr [ebx + status], 1
    mov dword ptr [ebx + status], 3
    mov dword ptr [ebx + driver_features_select], 1
    mov dword ptr [ebx + driver_features], 1        # VIRTIO_F_VERSION_1
    mov dword ptr [ebx + driver_features_select], 0
    mov dword ptr [ebx + driver_features], 0x200    # VIRTIO_BLK_F_FLUSH
    mov dword ptr [ebx + status], 0xb               # FEATURES_OK, which has to stay
    cmp dword ptr [ebx + status], 0xb
    jne failed

    mov dword ptr [ebx + queue_select], 0
    cmp dword ptr [ebx + queue_size_max], 4
    jb failed
    mov dword ptr [ebx + queue_size], 4
    mov dword ptr [ebx + queue_descriptors], descriptors
    mov dword ptr [ebx + queue_available], available
    mov dword ptr [ebx + queue_used], used
    mov dword ptr [ebx + queue_ready], 1
    mov dword ptr [ebx + status], 0xf               # DRIVER_OK
    mov word ptr [available], 1                     # no interrupt

    mov eax, request_in
    xor edx, edx
    mov edi, first_sector
    call request
    mov esi, first_sector
    mov ecx, sector_size / 4
1:  not dword ptr [esi]
    add esi, 4
    dec ecx
    jnz 1b
    mov eax, request_out
    mov edx, 1
    mov edi, first_sector
    call request
    mov eax, request_flush
    call request
    mov eax, request_in
    mov edx, 1
    mov edi, second_sector
    call request

    mov esi, first_sector
    mov edi, second_sector
    mov ecx, sector_size / 4
2:  mov eax, [esi]
    cmp eax, [edi]
    jne failed
    add esi, 4
    add edi, 4
    dec ecx
    jnz 2b
    lea esi, [ebp + text_ok - here]
    mov ecx, offset text_failed - text_ok
    jmp print

# One request of kind eax for sector edx, with the data at edi, from its header to its answer.
request:
    mov dword ptr [header], eax
    mov dword ptr [header + 4], 0
    mov dword ptr [header + 8], edx
    mov dword ptr [header + 12], 0
    mov byte ptr [answer], 0xff
    mov dword ptr [descriptors], header             # three buffers: the header,
    mov dword ptr [descriptors + 8], 16
    mov dword ptr [descriptors + 12], 0x00010001    # next: 1
    mov dword ptr [descriptors + 16], edi           # the data,
    mov dword ptr [descriptors + 24], sector_size
    mov dword ptr [descriptors + 28], 0x00020001    # next: 2
    mov dword ptr [descriptors + 32], answer        # the answer
    mov dword ptr [descriptors + 40], 1
    mov dword ptr [descriptors + 44], 2             # which the device writes
    cmp eax, request_in
    jne 1f
    or dword ptr [descriptors + 28], 2              # it writes the data, too
1:  cmp eax, request_flush
    jne 2f
    mov dword ptr [descriptors + 12], 0x00020001    # there are none
2:  movzx eax, word ptr [available + 2]
    mov ecx, eax
    and ecx, 3
    mov word ptr [available + 4 + ecx * 2], 0       # the chain that begins with descriptor 0
    inc eax
    mov word ptr [available + 2], ax
    mov dword ptr [ebx + queue_notify], 0
3:  pause
    cmp word ptr [used + 2], ax
    jne 3b
    cmp byte ptr [answer], 0
    jne failed
    ret

failed:
    lea esi, [ebp + text_failed - here]
    mov ecx, offset end - text_failed
print:
    lodsb
    out debug_console, al
    dec ecx
    jnz print
    hlt

text_ok:
    .ascii "virtio-blk ok\n"
text_failed:
    .ascii "virtio-blk failed\n"
end:
