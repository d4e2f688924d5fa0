# Devices in memory: every width, unaligned, across pages, read-modify-write, and string moves.
    .intel_syntax noprefix
    .code32
    mov ebx, 0xd0000000
    mov al, [ebx]
    mov ax, [ebx + 2]
    mov eax, [ebx + 4]
    mov [ebx + 8], al
    mov [ebx + 10], ax
    mov [ebx + 12], eax
    mov eax, [ebx + 0x21]           # unaligned
    mov ax, [ebx + 0x27]
    mov [ebx + 0x31], eax
    mov [ebx + 0x37], ax
    mov eax, [ebx + 0xffd]          # across pages
    mov eax, [ebx + 0xfff]
    mov [ebx + 0x1ffe], eax
    mov [ebx + 0x1fff], ax
    add dword ptr [ebx + 0x40], 3
    inc byte ptr [ebx + 0x44]
    lock xadd [ebx + 0x48], eax
    xchg [ebx + 0x4c], ecx
    lock or dword ptr [ebx + 0x50], 0x10
    add dword ptr [ebx + 0x61], 3   # unaligned, read and written
    movzx edx, word ptr [ebx + 0x70]
    movsx edx, byte ptr [ebx + 0x72]
    cmp dword ptr [ebx + 0x74], 5
    test byte ptr [ebx + 0x78], 1
    push dword ptr [ebx + 0x7c]
    pop dword ptr [ebx + 0x80]
    cld
    lea esi, [ebx + 0x100]          # device to memory, memory to device, device to device
    mov edi, 0x20000
    mov ecx, 3
    rep movsd
    mov esi, 0x20000
    lea edi, [ebx + 0x200]
    mov ecx, 4
    rep movsw
    lea esi, [ebx + 0x300]
    lea edi, [ebx + 0x400]
    mov ecx, 2
    rep movsb
    mov eax, 0x12345678
    lea edi, [ebx + 0x500]
    mov ecx, 2
    rep stosd
    mov eax, [0x20000]
    out 0x20, eax
    mov eax, edx
    out 0x20, eax
    hlt
