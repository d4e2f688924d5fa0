# A Multiboot kernel: prints what the boot loader has told it.
    .intel_syntax noprefix
    .code32
    .section .header, "a"
    .align 4
    .long 0x1badb002, 3, -(0x1badb002 + 3)  # modules on pages, and the memory's size

    .include "print32.inc"
    .global start
start:
    mov esp, offset stack_end
    mov ebp, ebx                # the information
    push eax
    say "multiboot: eax "
    pop eax
    call print_hex
    say "\nloader: "
    mov esi, [ebp + 64]
    call print
    say "\ncommand line: "
    mov esi, [ebp + 16]
    call print_arguments
    say "\nmemory from "
    mov ebx, [ebp + 48]         # the memory map's first entry
    mov eax, [ebx + 4]
    call print_hex
    say ", bytes "
    mov eax, [ebx + 12]
    call print_hex
    say "\n"
    call check_zeros
    mov edi, [ebp + 20]         # how many modules, and where their list is
    mov ebx, [ebp + 24]
1:  test edi, edi
    jz end
    say "module "
    mov esi, [ebx + 8]
    call print_arguments
    say ": "
    mov esi, [ebx]
    mov ecx, [ebx + 4]
    sub ecx, esi
    call print_bytes
    say "\n"
    add ebx, 16
    dec edi
    jmp 1b
