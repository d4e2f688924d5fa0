# Asks a virtio entropy device for 32 bytes, without interrupts, and prints "virtio-rng ok" on the debug console if it gets
# them. It wants --mode 32 --rng: the device is the first virtio device of the machine.
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
    # Where the rings and the buffer are.
    .set descriptors, 0x20000
    .set available, 0x21000
    .set used, 0x22000
    .set buffer, 0x23000
    .set buffer_size, 32
    .set debug_console, 0xe9
    cld
    call here
here:
    pop ebp
    mov ebx, device
    cmp dword ptr [ebx], 0x74726976                 # "virt"
    jne failed
    cmp dword ptr [ebx + version], 2
    jne failed
    cmp dword ptr [ebx + device_id], 4
    jne failed

    mov dword ptr [ebx + status], 0                 # reset, ACKNOWLEDGE, DRIVER
    mov dword ptr [ebx + status], 1
    mov dword ptr [ebx + status], 3
    mov dword ptr [ebx + driver_features_select], 1
    mov dword ptr [ebx + driver_features], 1        # VIRTIO_F_VERSION_1, and nothing else
    mov dword ptr [ebx + driver_features_select], 0
    mov dword ptr [ebx + driver_features], 0
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

    mov dword ptr [descriptors], buffer             # one buffer, which the device writes
    mov dword ptr [descriptors + 8], buffer_size
    mov dword ptr [descriptors + 12], 2
    mov word ptr [available], 1                     # no interrupt
    mov word ptr [available + 4], 0                 # the chain that begins with descriptor 0
    mov word ptr [available + 2], 1
    mov dword ptr [ebx + queue_notify], 0
wait:
    pause
    cmp word ptr [used + 2], 1
    jne wait

    cmp dword ptr [used + 8], buffer_size
    jne failed
    mov esi, buffer                                 # 32 random bytes are not all 0
    mov ecx, buffer_size / 4
    xor edx, edx
1:  lodsd
    or edx, eax
    dec ecx
    jnz 1b
    test edx, edx
    jz failed
    lea esi, [ebp + text_ok - here]
    mov ecx, offset text_failed - text_ok
    jmp print
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
    .ascii "virtio-rng ok\n"
text_failed:
    .ascii "virtio-rng failed\n"
end:
