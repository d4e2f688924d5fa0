#!/bin/sh
# Unicorn's x86 processor begins with zeros in the x87 and SSE control registers, which is no state after a reset.
#
# Unicorn 2.0.1 (Debian 12): after uc_open the x87 control word and MXCSR are 0, and the tags say that all eight registers hold a zero. A
# processor has 0x37f (after FNINIT; 0x40 after RESET), 0x1f80 and eight empty registers (Intel SDM vol. 3, table 9-1): with
# zeros every floating-point exception is unmasked, x87 computes with the precision of single, and a first FLD finds the stack full. Who
# starts a guest writes the three registers.
#
# Seen:
#   control 0 tags 0x5555 mxcsr 0
#
# Needs: libunicorn-dev, gcc. Exit codes: 0 as described, 1 it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/look.c" <<'CODE'
#include <stdio.h>
#include <unicorn/unicorn.h>

int main(void) {
    uc_engine *engine;
    unsigned long long control = 0, tags = 0, mxcsr = 0;
    if (uc_open(UC_ARCH_X86, UC_MODE_64, &engine) != UC_ERR_OK) return 1;
    uc_reg_read(engine, UC_X86_REG_FPCW, &control);
    uc_reg_read(engine, UC_X86_REG_FPTAG, &tags);
    uc_reg_read(engine, UC_X86_REG_MXCSR, &mxcsr);
    printf("control %#llx tags %#llx mxcsr %#llx\n", control, tags, mxcsr);
    return uc_close(engine) != UC_ERR_OK;
}
CODE
gcc -Wall -Wextra "$folder/look.c" -o "$folder/look" -lunicorn
result=$("$folder/look")
echo "$result"
[ "$result" = "control 0 tags 0x5555 mxcsr 0" ] || {
    echo "this has changed" >&2
    exit 1
}
