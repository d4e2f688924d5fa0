#!/bin/sh
# lldb 19 and gdb 16 both read memory with the packet x, and understand different answers to it.
#
# lldb-19 1:19.1.7-3~deb12u1 (Debian 12). gdb 16's manual has "x addr,length": the answer is a 'b' and then the bytes, and gdb sends
# it to a stub that says binary-upload+ in qSupported. lldb has had an x for longer: it sends x0,0 to whatever stub it is connected to,
# and if the answer is OK the bytes come without a 'b'. One would expect one packet of one protocol to have one form. A stub that answers
# as gdb wants is asked with m by lldb, for twice as many bytes on the wire; one that answers x0,0 with OK must tell the two
# debuggers apart, for a length of 0 is "b" for gdb.
#
# Seen, 600 bytes read from a stub:
#   x as gdb 16 has it:  x0,0 m
#   x as lldb has it:    x0,0 x
#   no x:                x0,0 m
#
# Needs: a Debian 12 system with apt, python3 and what lldb-19 depends on. Exit codes: 0 as described, 1 it has changed, 2 the packages
# can't be had.
set -eu
version=1:19.1.7-3~deb12u1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in lldb-19 liblldb-19 libllvm19 libclang-cpp19; do
    if ! apt-get download -q "$package=$version" >download.log 2>&1; then
        cat download.log >&2
        echo "$package $version can't be downloaded (apt-get update first? a newer version may have replaced it)" >&2
        exit 2
    fi
done
for package in *.deb; do dpkg-deb -x "$package" root; done
cat >stub.py <<'END'
# A stub of a 64-bit target whose memory is all 0x55. It notes with which packets memory is read.
import os
import socket
import subprocess

NAMES = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *(f"r{i}" for i in range(8, 16)), "rip"]
REGISTERS = "".join(f'<reg name="{name}" bitsize="64" type="int64"/>' for name in NAMES)
TARGET = ('<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target><architecture>i386:x86-64</architecture>'
          f'<feature name="org.gnu.gdb.i386.core">{REGISTERS}</feature></target>')
BYTE = b"\x55"
LIBRARIES = os.pathsep.join(f"{os.getcwd()}/root/usr/{part}" for part in ("lib/llvm-19/lib", "lib/x86_64-linux-gnu"))


def answer(packet, form):
    if packet.startswith("qSupported"):
        return b"PacketSize=4000;qXfer:features:read+" + (b";binary-upload+" if form == "gdb" else b"")
    if packet.startswith("qXfer:features:read:target.xml:"):
        offset, size = (int(word, 16) for word in packet.rsplit(":", 1)[1].split(","))
        part = TARGET[offset:offset + size]
        return (("m" if offset + size < len(TARGET) else "l") + part).encode()
    if packet.startswith("x"):
        size = int(packet.split(",")[1], 16)
        if form == "gdb":
            return b"b" + BYTE * size
        if form == "lldb":
            return BYTE * size if size else b"OK"
        return b""
    if packet.startswith("m"):
        return BYTE.hex().encode() * int(packet.split(",")[1], 16)
    simple = {"?": b"T05thread:1;", "g": b"00" * 17 * 8, "qC": b"QC1", "qfThreadInfo": b"m1", "qsThreadInfo": b"l",
              "k": b"X09", "D": b"OK"}
    if packet in simple:
        return simple[packet]
    return b"OK" if packet.startswith("H") else b""


def packets(form):
    ours = socket.create_server(("127.0.0.1", 0))
    lldb = subprocess.Popen(
        ["root/usr/lib/llvm-19/bin/lldb", "-x", "-b", "-o", f"gdb-remote 127.0.0.1:{ours.getsockname()[1]}",
         "-o", "memory read --force -c 600 0x10000", "-o", "detach"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "LD_LIBRARY_PATH": LIBRARIES})
    connection = ours.accept()[0]
    seen, data = [], b""
    while chunk := connection.recv(4096):
        data += chunk
        while b"#" in data and len(data) >= data.index(b"#") + 3:
            end = data.index(b"#")
            packet = data[data.index(b"$") + 1:end].decode("latin-1")
            data = data[end + 3:]
            if packet == "x0,0" or packet.startswith(("x10000,", "m10000,")):
                seen.append(packet if packet == "x0,0" else packet[0])
            text = answer(packet, form)
            connection.sendall(b"+$%b#%02x" % (text, sum(text) % 256))
    said = lldb.communicate(timeout=60)[0]
    assert b"0x00010250: 55 55" in said, said
    return " ".join(seen)


for form, name in (("gdb", "x as gdb 16 has it:"), ("lldb", "x as lldb has it:"), ("none", "no x:")):
    print(f"{name:20} {packets(form)}")
END
timeout 200 python3 stub.py >result
LD_LIBRARY_PATH=root/usr/lib/llvm-19/lib:root/usr/lib/x86_64-linux-gnu root/usr/lib/llvm-19/bin/lldb --version 2>/dev/null | head -n 1
cat result
cat >expected <<'END'
x as gdb 16 has it:  x0,0 m
x as lldb has it:    x0,0 x
no x:                x0,0 m
END
cmp -s result expected || {
    echo "this has changed" >&2
    exit 1
}
