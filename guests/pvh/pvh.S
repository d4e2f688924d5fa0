# A kernel with a PVH note: prints what the start info has. Its ELF entry is not where it starts.
    .intel_syntax noprefix
    .code32
    .section .note.Xen, "a", @note
    .align 4
    .long 4, 4, 18              # the sizes of name and value; XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long pvh_start

    .include "print32.inc"
    .global start
start:
    mov esp, offset stack_end
    say "not entered by its note\n"
    jmp end
pvh_start:
    mov esp, offset stack_end
    mov ebp, ebx                # the start info
    say "pvh: magic "
    mov eax, [ebp]
    call print_hex
    say ", version "
    mov eax, [ebp + 4]
    call print_hex
    say "\ncommand line: "
    mov esi, [ebp + 24]
    call print
    say "\nmemory from "
    mov ebx, [ebp + 40]         # the memory map's first entry
    mov eax, [ebx]
    call print_hex
    say ", bytes "
    mov eax, [ebx + 8]
    call print_hex
    say "\n"
    call check_zeros
    mov edi, [ebp + 12]         # how many modules, and where their list is
    mov ebx, [ebp + 16]
1:  test edi, edi
    jz end
    say "module "
    mov esi, [ebx + 16]
    call print_arguments
    say ": "
    mov esi, [ebx]
    mov ecx, [ebx + 8]
    call print_bytes
    say "\n"
    add ebx, 32
    dec edi
    jmp 1b
