# Real mode, protected mode, long mode, and back, all by the guest itself. Each says its name on port 0x20.
    .intel_syntax noprefix
    .code16
    mov al, 16
    out 0x20, al
    lgdt gdtr
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xea                # jmp far 0x08:protected
    .long 0x10000 + protected
    .word 0x08
    .code32
protected:
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov fs, ax
    mov gs, ax
    mov esp, 0x18000
    mov al, 32
    out 0x20, al
    mov edi, 0x20000                # page tables: the first 2 MiB, one to one
    mov ecx, 0x3000 / 4
    xor eax, eax
    cld
    rep stosd
    mov dword ptr [0x20000], 0x21003
    mov dword ptr [0x21000], 0x22003
    mov dword ptr [0x22000], 0x00083
    mov eax, 0x20000
    mov cr3, eax
    mov eax, cr4
    or eax, 0x20
    mov cr4, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x100
    wrmsr
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    .byte 0xea                      # jmp far 0x18:long_mode
    .long 0x10000 + long_mode
    .word 0x18
    .code64
long_mode:
    mov al, 64
    out 0x20, al
    mov r8, 0x1122334455667788
    push r8
    pop rax
    shr rax, 24
    out 0x21, eax
    jmp fword ptr [rip + to_compatible]
to_compatible:
    .long 0x10000 + compatible
    .word 0x08
    .code32
compatible:
    mov al, 33
    out 0x20, al
    mov eax, cr0
    and eax, 0x7fffffff
    mov cr0, eax                    # long mode ends
    mov ecx, 0xc0000080
    rdmsr
    and eax, ~0x100
    wrmsr
    mov al, 34
    out 0x20, al
    .byte 0xea                      # jmp far 0x20:sixteen
    .long sixteen
    .word 0x20
    .code16
sixteen:
    mov ax, 0x28
    mov ds, ax
    mov ss, ax
    mov es, ax
    mov eax, cr0
    and al, 0xfe
    mov cr0, eax
    .byte 0xea                      # jmp far 0x1000:real
    .word real
    .word 0x1000
real:
    mov ax, cs
    mov ds, ax
    mov ss, ax
    mov sp, 0x8000
    mov al, 17
    out 0x20, al
    push cs
    push offset returned
    retf
returned:
    call near_one
    mov al, byte ptr [name]
    out 0x20, al
    hlt
near_one:
    mov al, 18
    out 0x20, al
    ret
name:
    .byte 19
    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff        # 0x08: 32-bit code
    .quad 0x00cf93000000ffff        # 0x10: data
    .quad 0x00af9b000000ffff        # 0x18: 64-bit code
    .quad 0x00009b010000ffff        # 0x20: 16-bit code at 0x10000
    .quad 0x000093010000ffff        # 0x28: 16-bit data at 0x10000
gdtr:
    .word . - gdt - 1
    .long 0x10000 + gdt
