#!/bin/sh
# gdb compiles no condition with $eax or $ax for a 64-bit stub, says nothing, and evaluates it itself.
#
# gdb 13.1-3 (Debian 12). A stub that offers ConditionalBreakpoints+ gets the condition of a breakpoint as bytecode with Z0 or Z1, if
# `set breakpoint condition-evaluation` is auto, the default. One would expect that of any condition of registers. But $eax, $ax and
# $al are pseudo-registers of gdb's own where the registers are the 64-bit ones, and it makes no bytecode of those: the breakpoint is
# sent without a condition, each pass of the guest is a stop, and a hot breakpoint is some hundred times slower. `info breakpoints` only
# says "host evals". (int)$rax is the same condition and is compiled.
#
# Seen:
#   $rax == 5        sent with the breakpoint
#   $eax == 5        not sent
#   (int)$rax == 5   sent with the breakpoint
#
# Needs: a Debian 12 system with apt, python3 and what gdb depends on. Exit codes: 0 as described, 1 it has changed, 2 the package
# can't be had.
set -eu
version=13.1-3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
if ! apt-get download -q "gdb=$version" >download.log 2>&1; then
    cat download.log >&2
    echo "gdb $version can't be downloaded (apt-get update first? a newer version may have replaced it)" >&2
    exit 2
fi
dpkg-deb -x gdb_*.deb root
cat >stub.py <<'END'
# A 64-bit guest of which gdb sees nothing but zeros. It notes the breakpoints that it gets.
import socket
import subprocess
import sys

NAMES = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *(f"r{i}" for i in range(8, 16)), "rip"]
REGISTERS = "".join(f'<reg name="{name}" bitsize="64" type="int64"/>' for name in NAMES)
REGISTERS += "".join(f'<reg name="{name}" bitsize="32" type="int32"/>' for name in ("eflags", "cs", "ss", "ds", "es", "fs", "gs"))
REGISTERS += "".join(f'<reg name="st{i}" bitsize="80" type="i387_ext"/>' for i in range(8))
REGISTERS += "".join(f'<reg name="{name}" bitsize="32" type="int"/>'
                     for name in ("fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"))
TARGET = ('<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target><architecture>i386:x86-64</architecture>'
          f'<feature name="org.gnu.gdb.i386.core">{REGISTERS}</feature></target>')


def answer(packet):
    if packet.startswith("qSupported"):
        return "PacketSize=4000;qXfer:features:read+;ConditionalBreakpoints+"
    if packet.startswith("qXfer:features:read:target.xml:"):
        offset, size = (int(word, 16) for word in packet.rsplit(":", 1)[1].split(","))
        part = TARGET[offset:offset + size]
        return ("m" if offset + size < len(TARGET) else "l") + part
    if packet == "?":
        return "S05"
    if packet == "g":
        return "00" * (17 * 8 + 7 * 4 + 8 * 10 + 8 * 4)
    if packet.startswith("m"):
        return "00" * int(packet.split(",")[1], 16)
    if packet[:1] in ("Z", "z", "H", "X") or packet == "D":
        return "OK"
    if packet[:1] in ("c", "s") or packet.startswith("vCont;"):
        return "S05"
    return ""


def sent(condition):
    ours = socket.create_server(("127.0.0.1", 0))
    gdb = subprocess.Popen(
        ["root/usr/bin/gdb", "-nx", "-batch", "-ex", f"target remote 127.0.0.1:{ours.getsockname()[1]}",
         "-ex", f"break *0x1000 if {condition}", "-ex", "stepi"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    connection = ours.accept()[0]
    seen, data = [], b""
    while chunk := connection.recv(4096):
        data += chunk
        while b"#" in data and len(data) >= data.index(b"#") + 3:
            end = data.index(b"#")
            packet = data[data.index(b"$") + 1:end].decode("latin-1")
            data = data[end + 3:]
            seen.append(packet)
            text = answer(packet)
            connection.sendall(b"+" + f"${text}#{sum(text.encode()) % 256:02x}".encode())
    gdb.wait(30)
    breakpoints = [packet for packet in seen if packet.startswith("Z0,1000,1")]
    assert breakpoints, seen
    return any(";X" in packet for packet in breakpoints)


for condition in ("$rax == 5", "$eax == 5", "(int)$rax == 5"):
    print(f"{condition:16} {'sent with the breakpoint' if sent(condition) else 'not sent'}")
END
timeout 120 python3 stub.py >result
root/usr/bin/gdb --version | head -n 1
cat result
cat >expected <<'END'
$rax == 5        sent with the breakpoint
$eax == 5        not sent
(int)$rax == 5   sent with the breakpoint
END
cmp -s result expected || {
    echo "this has changed" >&2
    exit 1
}
