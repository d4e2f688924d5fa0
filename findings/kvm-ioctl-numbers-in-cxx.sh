#!/bin/sh
# <linux/kvm.h> of Linux 6.1 gives some ioctls of KVM other numbers in C++ than in C.
#
# linux-libc-dev 6.1.192-3 (Debian 12), g++ 12.2: the macro for a flexible array in a structure puts an empty structure in front
# of the array. It has no size in C and one byte in C++, so that sizeof(struct kvm_cpuid2) is 8 in C and 12 in C++, and the
# number of KVM_GET_SUPPORTED_CPUID, which holds that size, changes with it. A C++ program compiles without a warning and gets
# ENOTTY. The array of the coalesced ring begins at another place as well. Linux 6.7 changed the macro.
#
# Seen:
#   C    sizeof(kvm_cpuid2)=8  KVM_GET_SUPPORTED_CPUID=0xc008ae05  sizeof(kvm_coalesced_mmio_ring)=8
#   C++  sizeof(kvm_cpuid2)=12 KVM_GET_SUPPORTED_CPUID=0xc00cae05  sizeof(kvm_coalesced_mmio_ring)=16
#
# Needs: a Debian 12 system with apt, g++. Exit codes: 0 as described, 1 it has changed, 2 the package can't be had.
set -eu
version=6.1.192-3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
if ! apt-get download -q "linux-libc-dev=$version" >download.log 2>&1; then
    cat download.log >&2
    echo "linux-libc-dev $version can't be downloaded (apt-get update first? a newer version may have replaced it)" >&2
    exit 2
fi
dpkg-deb -x linux-libc-dev_*.deb root

cat >numbers.c <<'END'
#include <linux/kvm.h>
#include <stdio.h>

int main(void) {
    printf("sizeof(kvm_cpuid2)=%zu KVM_GET_SUPPORTED_CPUID=%#lx sizeof(kvm_coalesced_mmio_ring)=%zu\n", sizeof(struct kvm_cpuid2),
           (unsigned long)KVM_GET_SUPPORTED_CPUID, sizeof(struct kvm_coalesced_mmio_ring));
    return 0;
}
END
includes="-isystem root/usr/include -isystem root/usr/include/x86_64-linux-gnu"
# shellcheck disable=SC2086 # a list of words
gcc $includes -Wall -Wextra -x c numbers.c -o in_c
# shellcheck disable=SC2086
g++ $includes -Wall -Wextra -x c++ numbers.c -o in_cxx
in_c=$(./in_c)
in_cxx=$(./in_cxx)
printf 'linux-libc-dev %s, %s\nC    %s\nC++  %s\n' "$version" "$(g++ --version | head -n 1)" "$in_c" "$in_cxx"
[ "$in_c" = "sizeof(kvm_cpuid2)=8 KVM_GET_SUPPORTED_CPUID=0xc008ae05 sizeof(kvm_coalesced_mmio_ring)=8" ] &&
    [ "$in_cxx" = "sizeof(kvm_cpuid2)=12 KVM_GET_SUPPORTED_CPUID=0xc00cae05 sizeof(kvm_coalesced_mmio_ring)=16" ] || {
    echo "this has changed" >&2
    exit 1
}
