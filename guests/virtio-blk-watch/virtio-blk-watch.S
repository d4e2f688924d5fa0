# Watches the size of a virtio disk. Prints on the debug console how many sectors it has and the first byte of sector 0, both
# in hexadecimal, writes the bytes of sector 0 inverted to the last sector, and waits until the device says that its
# configuration has changed; then again. A request that fails is a "!". It polls, and takes no interrupt. A disk of one sector
# ends it. It wants --mode 32 and --disk: the disk is the first virtio device of the machine.
    .intel_syntax noprefix
    .code32
    .set device, 0xfeb00000
    # Its registers (virtio 1.2, 4.2.2).
    .set driver_features, 0x020
    .set driver_features_select, 0x024
    .set queue_select, 0x030
    .set queue_size, 0x038
    .set queue_ready, 0x044
    .set queue_notify, 0x050
    .set interrupt_status, 0x060
    .set interrupt_acknowledge, 0x064
    .set status, 0x070
    .set queue_descriptors, 0x080
    .set queue_available, 0x090
    .set queue_used, 0x0a0
    .set config_generation, 0x0fc
    .set capacity, 0x100
    .set config_change, 2
    # Where the rings and the buffers are.
    .set descriptors, 0x20000
    .set available, 0x21000
    .set used, 0x22000
    .set header, 0x23000
    .set answer, 0x23010
    .set sector, 0x24000
    .set sector_size, 512
    # Requests (5.2.6).
    .set request_in, 0
    .set request_out, 1
    .set debug_console, 0xe9
    cld
    mov ebx, device
    mov dword ptr [ebx + status], 0                 # reset, ACKNOWLEDGE, DRIVER
    mov dword ptr [ebx + status], 1
    mov dword ptr [ebx + status], 3
    mov dword ptr [ebx + driver_features_select], 1
    mov dword ptr [ebx + driver_features], 1        # VIRTIO_F_VERSION_1
    mov dword ptr [ebx + driver_features_select], 0
    mov dword ptr [ebx + driver_features], 0x200    # VIRTIO_BLK_F_FLUSH
    mov dword ptr [ebx + status], 0xb               # FEATURES_OK
    mov dword ptr [ebx + queue_select], 0
    mov dword ptr [ebx + queue_size], 4
    mov dword ptr [ebx + queue_descriptors], descriptors
    mov dword ptr [ebx + queue_available], available
    mov dword ptr [ebx + queue_used], used
    mov dword ptr [ebx + queue_ready], 1
    mov dword ptr [ebx + status], 0xf               # DRIVER_OK
    mov word ptr [available], 1                     # no interrupt

look:
    mov esp, 0x1f000
    mov esi, [ebx + config_generation]              # both halves of the capacity are of one time
    mov edi, [ebx + capacity]
    mov eax, [ebx + capacity + 4]
    cmp esi, [ebx + config_generation]
    jne look
    test eax, eax
    jnz bad
    mov eax, edi
    mov ecx, 8
    call print_hex
    mov al, ' '
    out debug_console, al
    mov eax, request_in
    xor edx, edx
    call request
    mov eax, [sector]
    shl eax, 24
    mov ecx, 2
    call print_hex
    mov al, '\n'
    out debug_console, al
    dec edi
    jz done
    mov esi, sector
    mov ecx, sector_size / 4
1:  not dword ptr [esi]
    add esi, 4
    dec ecx
    jnz 1b
    mov eax, request_out
    mov edx, edi
    call request
    mov al, '.'
    out debug_console, al
wait:
    pause
    test dword ptr [ebx + interrupt_status], config_change
    jz wait
    mov dword ptr [ebx + interrupt_acknowledge], config_change
    jmp look

# One request of kind eax for sector edx, with the data at `sector`, from its header to its answer.
request:
    mov dword ptr [header], eax
    mov dword ptr [header + 4], 0
    mov dword ptr [header + 8], edx
    mov dword ptr [header + 12], 0
    mov byte ptr [answer], 0xff
    mov dword ptr [descriptors], header             # three buffers: the header,
    mov dword ptr [descriptors + 8], 16
    mov dword ptr [descriptors + 12], 0x00010001    # next: 1
    mov dword ptr [descriptors + 16], sector        # the data,
    mov dword ptr [descriptors + 24], sector_size
    mov dword ptr [descriptors + 28], 0x00020001    # next: 2
    mov dword ptr [descriptors + 32], answer        # the answer
    mov dword ptr [descriptors + 40], 1
    mov dword ptr [descriptors + 44], 2             # which the device writes
    cmp eax, request_in
    jne 1f
    or dword ptr [descriptors + 28], 2              # it writes the data, too
1:  movzx eax, word ptr [available + 2]
    mov ecx, eax
    and ecx, 3
    mov word ptr [available + 4 + ecx * 2], 0       # the chain that begins with descriptor 0
    inc eax
    mov word ptr [available + 2], ax
    mov dword ptr [ebx + queue_notify], 0
2:  pause
    cmp word ptr [used + 2], ax
    jne 2b
    cmp byte ptr [answer], 0
    jne bad
    ret

# The ecx highest digits of eax.
print_hex:
    mov edx, eax
1:  rol edx, 4
    mov al, dl
    and al, 15
    add al, '0'
    cmp al, '9'
    jbe 2f
    add al, 'a' - '0' - 10
2:  out debug_console, al
    dec ecx
    jnz 1b
    ret

bad:
    mov al, '!'
    out debug_console, al
    jmp wait
done:
    hlt
