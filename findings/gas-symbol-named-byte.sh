#!/bin/sh
# GNU as in Intel syntax takes a symbol named "byte" without a word, and then reads its name as the number 1.
#
# binutils 2.40 (Debian 12): after .intel_syntax the words byte, word, dword, ... are sizes, and in an expression a size is its number
# of bytes, as in MASM. A symbol of that name may be defined nevertheless (.set, a label): no error, no warning, and no way to get at
# its value. A table that was to hold 100, 101, 102 held 1, 1, 1, and a test that compared it with itself passed.
#
# Seen:
#   .set byte, 100; .byte byte: 01   .set word, 100; .byte word: 02   .set other, 100; .byte other: 64
#
# Needs: as, objcopy, od. Exit codes: 0 as described, 1 it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# value NAME: the byte that .byte NAME gives after .set NAME, 100
value() {
    printf '.intel_syntax noprefix\n.set %s, 100\n.byte %s\n' "$1" "$1" | as --fatal-warnings -o "$folder/object" -
    objcopy -O binary -j .text "$folder/object" "$folder/bytes"
    od -An -v -t x1 "$folder/bytes" | tr -d ' '
}

result=
for name in byte word other; do
    result="$result${result:+   }.set $name, 100; .byte $name: $(value $name)"
done
as --version | head -n 1
echo "$result"
[ "$result" = ".set byte, 100; .byte byte: 01   .set word, 100; .byte word: 02   .set other, 100; .byte other: 64" ] || {
    echo "this has changed" >&2
    exit 1
}
