#!/bin/sh
# What the program says about an ELF file is done, word by word, and gives a guest that runs.
#   elf_advice_test.sh ASYNCVM COMPILER...
set -eu
asyncvm=$1
shift

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cd "$stage"
cat >guest.cpp <<'END'
static const char* const words[] = {"HI", "YO"};
static int zero[1000];
static int five = 5;
static volatile int which = 1;
static void out(char c) { asm volatile("outb %0, %1" ::"a"(c), "Nd"(static_cast<unsigned short>(0xe9))); }
extern "C" [[noreturn]] void _start() {
    for (const char* at = words[which]; *at != 0; ++at) out(*at);
    out(static_cast<char>('0' + five + zero[5]));
    for (;;) asm volatile("hlt");
}
END

fail() {
    echo "elf_advice_test: $*" >&2
    exit 1
}

# As people compile it.
"$@" -O1 -mgeneral-regs-only -ffreestanding -nostdlib guest.cpp -o guest.elf
"$asyncvm" --mode 64 --load 1M guest.elf 2>errors && fail 'an ELF file has run'
advice=$(sed -n 's/.*(gcc \(.*\))$/\1/p' errors)
[ -n "$advice" ] || fail "no advice in: $(cat errors)"
# shellcheck disable=SC2086 # words
"$@" -O1 -mgeneral-regs-only $advice guest.cpp -o guest.bin
output=$("$asyncvm" --mode 64 --load 1M --serial null --debugcon stdio guest.bin 2>errors) || {
    grep -q 'cannot open /dev/kvm' errors && exit 77
    fail "the flat guest does not run: $(cat errors)"
}
[ "$output" = YO5 ] || fail "the guest printed '$output' instead of YO5"
