# Looks for a virtio entropy device on the PCI bus, by the ports 0xcf8 and 0xcfc, moves its BAR to right behind the RAM, asks it
# for 32 bytes, without interrupts, and prints "virtio-rng on PCI ok" on the debug console if it gets them. It wants --mode 32
# --transport pci --rng, and 128 MiB of memory.
    .intel_syntax noprefix
    .code32
    .set behind_ram, 0x08000000
    .set entropy_device, 0x10441af4
    # The configuration space (PCI 3.0, 6.1), and a capability of virtio (virtio 1.2, 4.1.4).
    .set command, 0x04
    .set memory_and_bus_master, 6
    .set bar, 0x10
    .set first_capability, 0x34
    .set capability_offset, 8
    .set capability_multiplier, 16
    # The registers of the common configuration (4.1.4.3).
    .set driver_features_select, 0x08
    .set driver_features, 0x0c
    .set status, 0x14
    .set queue_select, 0x16
    .set queue_size, 0x18
    .set queue_enable, 0x1c
    .set queue_notify_off, 0x1e
    .set queue_descriptors, 0x20
    .set queue_available, 0x28
    .set queue_used, 0x30
    # Where the rings and the buffer are.
    .set descriptors, 0x20000
    .set available, 0x21000
    .set used, 0x22000
    .set buffer, 0x23000
    .set buffer_size, 32
    .set stack, 0x30000
    .set debug_console, 0xe9
    cld
    mov esp, stack
    call here
here:
    pop ebp
    mov edi, 0x80000000                             # EDI: the function's address; each slot of bus 0
find:
    xor eax, eax
    call read_config
    cmp eax, entropy_device
    je found
    add edi, 1 << 11
    cmp edi, 0x80000000 + (32 << 11)
    jne find
    jmp failed

found:
    mov eax, command                                # no decoding while the BAR is sized
    xor ebx, ebx
    call write_config
    mov eax, bar
    mov ebx, 0xffffffff
    call write_config
    call read_config
    cmp eax, 0xffff8000                             # 32 KiB of memory
    jne failed
    mov eax, bar
    mov ebx, behind_ram
    call write_config
    mov eax, command
    mov ebx, memory_and_bus_master
    call write_config

    mov eax, first_capability
    call read_config
    movzx esi, al
capability:                                         # ESI: its offset
    test esi, esi
    jz all_seen
    mov eax, esi
    call read_config                                # ID, next one, length, kind
    mov ecx, eax
    cmp cl, 9
    jne next
    mov eax, ecx
    shr eax, 24
    cmp eax, 1
    jne not_common
    lea eax, [esi + capability_offset]
    call read_config
    add eax, behind_ram
    mov [ebp + common - here], eax
    jmp next
not_common:
    cmp eax, 2
    jne next
    lea eax, [esi + capability_offset]
    call read_config
    add eax, behind_ram
    mov [ebp + notify - here], eax
    lea eax, [esi + capability_multiplier]
    call read_config
    mov [ebp + multiplier - here], eax
next:
    movzx esi, ch
    jmp capability

all_seen:
    mov ebx, [ebp + common - here]
    test ebx, ebx
    jz failed
    mov byte ptr [ebx + status], 0                  # reset, until it reads back as 0
1:  cmp byte ptr [ebx + status], 0
    jne 1b
    mov byte ptr [ebx + status], 1                  # ACKNOWLEDGE, DRIVER
    mov byte ptr [ebx + status], 3
    mov dword ptr [ebx + driver_features_select], 0
    mov dword ptr [ebx + driver_features], 0
    mov dword ptr [ebx + driver_features_select], 1
    mov dword ptr [ebx + driver_features], 1        # VIRTIO_F_VERSION_1, and nothing else
    mov byte ptr [ebx + status], 0xb                # FEATURES_OK, which has to stay
    cmp byte ptr [ebx + status], 0xb
    jne failed

    mov word ptr [ebx + queue_select], 0
    cmp word ptr [ebx + queue_size], 4
    jb failed
    mov word ptr [ebx + queue_size], 4
    mov dword ptr [ebx + queue_descriptors], descriptors
    mov dword ptr [ebx + queue_descriptors + 4], 0
    mov dword ptr [ebx + queue_available], available
    mov dword ptr [ebx + queue_available + 4], 0
    mov dword ptr [ebx + queue_used], used
    mov dword ptr [ebx + queue_used + 4], 0
    movzx edx, word ptr [ebx + queue_notify_off]
    imul edx, [ebp + multiplier - here]
    add edx, [ebp + notify - here]
    mov word ptr [ebx + queue_enable], 1
    mov byte ptr [ebx + status], 0xf                # DRIVER_OK

    mov dword ptr [descriptors], buffer             # one buffer, which the device writes
    mov dword ptr [descriptors + 8], buffer_size
    mov dword ptr [descriptors + 12], 2
    mov word ptr [available], 1                     # no interrupt
    mov word ptr [available + 4], 0                 # the chain that begins with descriptor 0
    mov word ptr [available + 2], 1
    mov word ptr [edx], 0
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
    mov ecx, offset common - text_failed
print:
    lodsb
    out debug_console, al
    dec ecx
    jnz print
    hlt

# EAX = register EAX of the function EDI.
read_config:
    push edx
    call address
    in eax, dx
    pop edx
    ret
# Register EAX of the function EDI = EBX. EAX stays.
write_config:
    push edx
    push eax
    call address
    mov eax, ebx
    out dx, eax
    pop eax
    pop edx
    ret
address:
    or eax, edi
    mov dx, 0xcf8
    out dx, eax
    mov dx, 0xcfc
    ret

text_ok:
    .ascii "virtio-rng on PCI ok\n"
text_failed:
    .ascii "virtio-rng on PCI failed\n"
common:     .long 0
notify:     .long 0
multiplier: .long 0
