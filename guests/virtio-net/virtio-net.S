# Sends a frame over a virtio network card and waits until the same frame comes back, without interrupts. With rbx=1 it
# sends the frame again and again until then; with rbx=2 it is the one who sends the first frame that comes back. Prints
# "virtio-net ok" on the debug console. It wants --mode 32 and --net: the card is the first virtio device of the machine.
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
    # Rings: for receiving from here on, for sending 0x4000 behind.
    .set descriptors, 0x20000
    .set available, 0x21000
    .set used, 0x22000
    .set sending, 0x4000
    .set received, 0x30000
    .set sent, 0x32000
    .set buffer_size, 0x1000
    .set header, 12
    .set frame, 64
    .set debug_console, 0xe9
    cld
    mov edi, ebx                                    # the role
    call here
here:
    pop ebp
    mov ebx, device
    cmp dword ptr [ebx], 0x74726976                 # "virt"
    jne failed
    cmp dword ptr [ebx + version], 2
    jne failed
    cmp dword ptr [ebx + device_id], 1
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

    xor ecx, ecx                                    # the queues, and where their rings are
    xor edx, edx
2:  mov [ebx + queue_select], ecx
    cmp dword ptr [ebx + queue_size_max], 4
    jb failed
    mov dword ptr [ebx + queue_size], 4
    lea eax, [edx + descriptors]
    mov [ebx + queue_descriptors], eax
    lea eax, [edx + available]
    mov [ebx + queue_available], eax
    lea eax, [edx + used]
    mov [ebx + queue_used], eax
    mov dword ptr [ebx + queue_ready], 1
    mov word ptr [edx + available], 1               # no interrupt
    add edx, sending
    inc ecx
    cmp ecx, 2
    jne 2b
    mov dword ptr [ebx + status], 0xf               # DRIVER_OK

    mov dword ptr [descriptors], received           # one buffer, which the device writes
    mov dword ptr [descriptors + 8], buffer_size
    mov dword ptr [descriptors + 12], 2
    mov word ptr [available + 4], 0
    mov word ptr [available + 2], 1
    mov dword ptr [ebx + queue_notify], 0
    cmp edi, 2
    jne ask

    call wait_for_frame                             # the frame that comes goes back as it is
    mov esi, received
    mov edx, sent
    mov ecx, (header + frame) / 4
3:  lodsd
    mov [edx], eax
    add edx, 4
    dec ecx
    jnz 3b
    mov word ptr [sent + header - 2], 0             # the number of buffers is the device's to say
    call send
    jmp passed

ask:
    mov edx, sent + header                          # a frame that is no other's: to everybody, of a type for trials
    mov dword ptr [edx], 0xffffffff
    mov dword ptr [edx + 4], 0x0052ffff
    mov dword ptr [edx + 8], 0x01020304
    mov dword ptr [edx + 12], 0x6970b588            # 0x88b5, and the text
    mov dword ptr [edx + 16], 0x6e67676e
4:  call send
    cmp edi, 1
    jne 8f
    mov ecx, 300                                    # looks so many times before it asks again: frames may be lost
5:  pause
    mov eax, [ebx + status]
    cmp word ptr [used + 2], 0
    jne 6f
    dec ecx
    jnz 5b
    jmp 4b
8:  call wait_for_frame
6:  mov esi, received + header
    mov edx, sent + header
    mov ecx, frame / 4
7:  lodsd
    cmp eax, [edx]
    jne failed
    add edx, 4
    dec ecx
    jnz 7b
passed:
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

# Sends the frame in `sent`, and waits until the device has taken it.
send:
    mov dword ptr [descriptors + sending], sent
    mov dword ptr [descriptors + sending + 8], header + frame
    mov dword ptr [descriptors + sending + 12], 0
    movzx eax, word ptr [available + sending + 2]
    inc eax
    mov word ptr [available + sending + 2], ax
    mov dword ptr [ebx + queue_notify], 1
1:  pause
    cmp word ptr [used + sending + 2], ax
    jne 1b
    ret

wait_for_frame:
    pause
    cmp word ptr [used + 2], 0
    je wait_for_frame
    cmp dword ptr [used + 8], header + frame
    jne failed
    ret

text_ok:
    .ascii "virtio-net ok\n"
text_failed:
    .ascii "virtio-net failed\n"
end:
