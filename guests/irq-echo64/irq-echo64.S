# irq-echo for 64 bits: an ELF kernel on the pc machine. The interrupt comes through the IOAPIC, input 4, to the local APIC.
    .intel_syntax noprefix
    .code64
    .set vector, 0x30
    .set local_apic, 0xfee00000
    .set spurious_vector, 0xf0
    .set end_of_interrupt, 0xb0
    .set ioapic, 0xfec00000
    .set window, 0x10
    .set data, 0x3f8
    .set interrupt_enable, 0x3f9
    .set modem_control, 0x3fc
    .set line_status, 0x3fd
    .set data_ready, 0x01
    .set end_of_input, 4
    .text
    .global start
start:
    lea rax, [rip + received]       # the gate: its address in three parts, the code segment, interrupt gate of ring 0
    lea rdi, [rip + gates + 16 * vector]
    mov [rdi], ax
    mov [rdi + 2], cs
    mov word ptr [rdi + 4], 0x8e00
    shr rax, 16
    mov [rdi + 6], ax
    shr rax, 16
    mov [rdi + 8], eax
    lidt [rip + gate_register]
    mov al, 0xff                    # the PICs: nothing
    out 0x21, al
    out 0xa1, al
    mov ebx, local_apic
    mov dword ptr [rbx + spurious_vector], 0x1ff
    mov ecx, ioapic
    mov dword ptr [rcx], 0x10 + 2 * 4 + 1
    mov dword ptr [rcx + window], 0 # to the CPU with ID 0
    mov dword ptr [rcx], 0x10 + 2 * 4
    mov dword ptr [rcx + window], vector
    mov edx, modem_control
    mov al, 0x0b                    # DTR, RTS, and OUT2, which lets the interrupt through
    out dx, al
    mov edx, interrupt_enable
    mov al, 1                       # when data has come
    out dx, al
    mov rbp, rsp
wait:
    sti
    hlt
    jmp wait

# It goes back to the loop without IRETQ, which a KVM that emulates the kernel's code does not have.
received:
    mov rsp, rbp
again:
    mov edx, line_status
    in al, dx
    test al, data_ready
    jz done
    mov edx, data
    in al, dx
    cmp al, end_of_input
    je end
    cmp al, 'a'
    jb keep
    cmp al, 'z'
    ja keep
    sub al, 'a' - 'A'
keep:
    out dx, al
    jmp again
done:
    mov dword ptr [rbx + end_of_interrupt], 0
    jmp wait
end:
    mov edx, 0x604                  # powers the machine off: ACPI's PM1a control, SLP_EN and S5
    mov eax, 0x3400
    out dx, ax
    cli
    hlt

    .section .rodata
gate_register:
    .word 16 * (vector + 1) - 1
    .quad gates
    .bss
    .balign 16
gates:
    .skip 16 * (vector + 1)
