# An invalid opcode and a division by zero that the guest's own IDT handles; then one that it does not: a triple fault.
    .intel_syntax noprefix
    .code32
    mov dword ptr [0x20000 + 0 * 8], offset on_0 + 0x80000
    mov dword ptr [0x20000 + 0 * 8 + 4], 0x00018e00
    mov dword ptr [0x20000 + 6 * 8], offset on_6 + 0x80000
    mov dword ptr [0x20000 + 6 * 8 + 4], 0x00018f00
    lidt [0x10000 + idtr]
    mov esp, 0x18000
    stc
    ud2
    xor ebx, ebx
    div ebx
    out 0x22, eax
    mov eax, esp
    out 0x23, eax
    lidt [0x10000 + no_idtr]
    ud2
on_0:
    mov al, 0
    out 0x20, al
    mov eax, [esp + 4]              # CS
    out 0x21, eax
    mov ebx, 1
    jmp 1f
on_6:
    mov al, 6
    out 0x20, al
    mov eax, [esp]
    out 0x21, eax
    add dword ptr [esp], 2
1:  mov eax, [esp + 8]              # EFLAGS
    and eax, 0xffffff
    out 0x22, eax
    add esp, 12                     # IRET does not work everywhere: what it does, without the flags
    jmp dword ptr [esp - 12]
idtr:
    .word 7 * 8 - 1
    .long 0x20000
no_idtr:
    .word 0
    .long 0
