#!/bin/sh
# A dprintf in style agent that gdb can't compile is never printed, and the guest never gets past it; a condition that gdb can't compile
# is left out, and the dprintf prints always. gdb says nothing of either.
#
# gdb 13.1-3 (Debian 12). A stub that offers BreakpointCommands+ gets a dprintf as bytecode with Z0, if `set dprintf-style agent` is in
# force. Where gdb has no bytecode for the values ($eax on a 64-bit stub, $_thread, a text in quotes) one would expect an error, or that
# gdb prints itself. It sends a breakpoint without commands. When the guest stops there gdb finds that only the target may print, throws
# that error away, and lets the guest go on without the step that leads over a breakpoint: the guest stops at once, for ever. An ordinary
# breakpoint at the same address hides this: that one stops. Where gdb has no bytecode for the condition it sends the dprintf without it.
#
# Seen:
#   $rax                sent to be printed
#   $eax                not sent, 20 stops of 20 answered with vCont;c and nothing else
#   $rax if $rax == 5   sent to be printed, with its condition
#   $rax if $eax == 5   sent to be printed
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


def general(pc):
    return "00" * 16 * 8 + pc.to_bytes(8, "little").hex() + "00" * (7 * 4 + 8 * 10 + 8 * 4)


def answer(packet, stops):
    if packet.startswith("qSupported"):
        return "PacketSize=4000;qXfer:features:read+;ConditionalBreakpoints+;BreakpointCommands+;swbreak+;vContSupported+"
    if packet.startswith("qXfer:features:read:target.xml:"):
        offset, size = (int(word, 16) for word in packet.rsplit(":", 1)[1].split(","))
        part = TARGET[offset:offset + size]
        return ("m" if offset + size < len(TARGET) else "l") + part
    fixed = {"?": "T05thread:1;", "qC": "QC1", "qfThreadInfo": "m1", "qsThreadInfo": "l", "vCont?": "vCont;c;C;s;S"}
    if packet in fixed:
        return fixed[packet]
    if packet == "g":
        return general(0x1000 if stops else 0)
    if packet.startswith("m"):
        return "00" * int(packet.split(",")[1], 16)
    if packet.startswith("vCont;"):
        # It has come to the breakpoint; in the end the guest ends.
        return "T05swbreak:;thread:1;" if len(stops) <= STOPS else "W00"
    if packet[:1] in ("Z", "z", "H", "X", "P", "T") or packet == "D":
        return "OK"
    return ""


STOPS = 20


def sent(value, condition):
    ours = socket.create_server(("127.0.0.1", 0))
    gdb = subprocess.Popen(
        ["root/usr/bin/gdb", "-nx", "-batch", "-ex", f"target remote 127.0.0.1:{ours.getsockname()[1]}",
         "-ex", "set dprintf-style agent", "-ex", rf'dprintf *0x1000,"%d\n",{value}',
         *(["-ex", f"condition 1 {condition}"] if condition else []), "-ex", "continue"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    connection = ours.accept()[0]
    seen, stops, data = [], [], b""
    while chunk := connection.recv(4096):
        data += chunk
        while b"#" in data and len(data) >= data.index(b"#") + 3:
            end = data.index(b"#")
            packet = data[data.index(b"$") + 1:end].decode("latin-1")
            data = data[end + 3:]
            seen.append(packet)
            if packet.startswith("vCont;"):
                stops.append(packet)
            text = answer(packet, stops)
            connection.sendall(b"+" + f"${text}#{sum(text.encode()) % 256:02x}".encode())
    said = gdb.communicate(timeout=30)[0]
    breakpoints = [packet for packet in seen if packet.startswith("Z0,1000,1")]
    assert breakpoints, seen
    if ";cmds:" in breakpoints[0]:
        return "sent to be printed" + (", with its condition" if ";X" in breakpoints[0] else "")
    only = all(packet == "vCont;c" for packet in stops[1:]) and len(breakpoints) == 1 and "only" not in said
    return f"not sent, {len(stops) - 1} stops of {STOPS} answered with vCont;c" + (" and nothing else" if only else "")


for value, condition in (("$rax", ""), ("$eax", ""), ("$rax", "$rax == 5"), ("$rax", "$eax == 5")):
    name = value + (f" if {condition}" if condition else "")
    print(f"{name:19} {sent(value, condition)}")
END
timeout 120 python3 stub.py >result
root/usr/bin/gdb --version | head -n 1
cat result
cat >expected <<'END'
$rax                sent to be printed
$eax                not sent, 20 stops of 20 answered with vCont;c and nothing else
$rax if $rax == 5   sent to be printed, with its condition
$rax if $eax == 5   sent to be printed
END
cmp -s result expected || {
    echo "this has changed" >&2
    exit 1
}
