# ECX accesses, a multiple of 16, between two writes to the mark port, then HLT. BX says which: 0 OUT, 1 IN, 2 MMIO write,
# 3 MMIO read; DX is the port. The MMIO address is 1 MiB, the first one behind the RAM that the monitors of this benchmark
# give the guest. 16 accesses a turn: a loop's own instructions take time too, on a host that emulates them as much as the
# access itself where that does not exit.
    .intel_syntax noprefix
    .code16
    .set mark, 0x90
    .set accesses, 16

    .macro repeat access:vararg
1:  .rept accesses
    \access
    .endr
    dec ecx
    jnz 1b
    .endm

    mov ax, 0xffff
    mov es, ax
    out mark, al
    shr ecx, 4
    shl bx, 1
    jmp [bx + kinds]
outs:
    repeat out dx, al
    jmp done
ins:
    repeat in al, dx
    jmp done
writes:
    repeat mov es:[0x10], al
    jmp done
reads:
    repeat mov al, es:[0x10]
done:
    out mark, al
    hlt
kinds:
    .word outs, ins, writes, reads
