# ECX accesses between two writes to the mark port, then HLT. BX says which: 0 OUT, 1 IN, 2 MMIO write, 3 MMIO read; DX is
# the port. The MMIO address is 1 MiB, the first one behind the RAM that the monitors of this benchmark give the guest.
    .intel_syntax noprefix
    .code16
    .set mark, 0x90

    mov ax, 0xffff
    mov es, ax
    out mark, al
    shl bx, 1
    jmp [bx + kinds]
outs:
    out dx, al
    dec ecx
    jnz outs
    jmp done
ins:
    in al, dx
    dec ecx
    jnz ins
    jmp done
writes:
    mov es:[0x10], al
    dec ecx
    jnz writes
    jmp done
reads:
    mov al, es:[0x10]
    dec ecx
    jnz reads
done:
    out mark, al
    hlt
kinds:
    .word outs, ins, writes, reads
