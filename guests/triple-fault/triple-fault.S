# An undefined instruction without an interrupt table: #UD, then a double fault, then the third, which shuts the processor
# down. It wants --mode 32.
    .intel_syntax noprefix
    .code32
    call here
here:
    pop ebp
    lidt [ebp + no_table - here]
    ud2
    hlt                     # never reached

no_table:
    .word 0                 # limit
    .long 0                 # base
