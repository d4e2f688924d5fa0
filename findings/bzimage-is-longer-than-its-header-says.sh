#!/bin/sh
# A Linux kernel's file is longer than its setup header says: the rest is the signature for Secure Boot.
#
# linux-image-6.1.0-56-cloud-amd64 6.1.192-2 (Debian 12): by the boot protocol a bzImage has (setup_sects + 1) * 512 bytes of setup
# code and syssize * 16 bytes of payload. The file has 1,472 bytes more. They are the certificate table of the PE header that the same
# file carries for EFI, which begins exactly where the payload ends: sbsign(1) appends it and leaves the setup header as it was.
# So neither are such files damaged, nor may a loader take the file's size for the payload's, or the other way round.
#
# Seen:
#   setup header: 14184960 bytes; file: 14186432 bytes; PE certificate table: 1472 bytes from 14184960 on
#
# Needs: a Debian 12 system with apt, od. Exit codes: 0 as described, 1 it has changed, 2 the package can't be had.
set -eu
package=linux-image-6.1.0-56-cloud-amd64
version=6.1.192-2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
if ! apt-get download -q "$package=$version" >download.log 2>&1; then
    cat download.log >&2
    echo "$package $version can't be downloaded (apt-get update first? a newer version may have replaced it)" >&2
    exit 2
fi
dpkg-deb -x ./*.deb root
kernel=$(echo root/boot/vmlinuz-*)

# number OFFSET BYTES: a little-endian number of the file
number() { od -An -v -t "u$2" -j "$1" -N "$2" "$kernel" | tr -d ' '; }

setup_sects=$(number $((0x1f1)) 1)
syssize=$(number $((0x1f4)) 4)
pe_header=$(number $((0x3c)) 4)
certificates=$((pe_header + 24 + 112 + 4 * 8)) # the optional header of PE32+, data directory 4
said=$(((setup_sects + 1) * 512 + syssize * 16))
size=$(stat -c %s "$kernel")
result="setup header: $said bytes; file: $size bytes; PE certificate table: $(number $((certificates + 4)) 4) bytes from \
$(number "$certificates" 4) on"
echo "$package $version"
echo "$result"
[ "$result" = "setup header: 14184960 bytes; file: 14186432 bytes; PE certificate table: 1472 bytes from 14184960 on" ] || {
    echo "this has changed" >&2
    exit 1
}
