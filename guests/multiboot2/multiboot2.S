# A Multiboot 2 kernel: prints what the boot loader has told it.
    .intel_syntax noprefix
    .code32
    .section .header, "a"
    .align 8
header:
    .long 0xe85250d6, 0, header_end - header, -(0xe85250d6 + header_end - header)
    .short 1, 0                 # information that it needs: command line, memory map
    .long 16, 1, 6
    .short 6, 0                 # modules on pages
    .long 8
    .short 0, 0
    .long 8
header_end:

    .include "print32.inc"
    .global start
start:
    mov esp, offset stack_end
    lea ebx, [ebx + 8]          # the first tag
    push eax
    say "multiboot2: eax "
    pop eax
    call print_hex
    say "\n"
    call check_zeros
next:
    mov eax, [ebx]
    test eax, eax
    jz end
    cmp eax, 1
    je command_line
    cmp eax, 2
    je loader
    cmp eax, 3
    je module
    cmp eax, 6
    je memory
skip:
    mov eax, [ebx + 4]
    lea ebx, [ebx + eax + 7]
    and ebx, -8
    jmp next

command_line:
    say "command line: "
    lea esi, [ebx + 8]
    call print_arguments
    jmp line_end
loader:
    say "loader: "
    lea esi, [ebx + 8]
    call print
    jmp line_end
module:
    say "module "
    lea esi, [ebx + 16]
    call print_arguments
    say ": "
    mov esi, [ebx + 8]
    mov ecx, [ebx + 12]
    sub ecx, esi
    call print_bytes
    jmp line_end
memory:
    say "memory from "
    mov eax, [ebx + 16]
    call print_hex
    say ", bytes "
    mov eax, [ebx + 24]
    call print_hex
line_end:
    say "\n"
    jmp skip
