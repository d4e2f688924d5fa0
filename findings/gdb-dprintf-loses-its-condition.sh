#!/bin/sh
# A dprintf in style agent whose condition gdb can't compile, or that shares its address with one that has none, prints always. gdb says
# nothing.
#
# gdb 13.1-3 (Debian 12). A stub that offers ConditionalBreakpoints+ and BreakpointCommands+ gets a dprintf as bytecode with Z0, with the
# bytecode of its condition, if `set dprintf-style agent` is in force. One would expect that gdb evaluates itself a condition that it has
# no bytecode for ($eax on a 64-bit stub), as it does with a breakpoint's, or says that it can't. It sends the dprintf without it; and of two
# dprintfs at one address it sends both commands, but no condition unless both have one. gdb hears of no stop, so nobody looks at it.
#
# Seen:
#   one, if $rax == 5        1 command, 1 condition
#   one, if $eax == 5        1 command, 0 conditions
#   two, one if $rax == 5    2 commands, 0 conditions
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
        return "PacketSize=4000;qXfer:features:read+;ConditionalBreakpoints+;BreakpointCommands+;swbreak+;vContSupported+"
    if packet.startswith("qXfer:features:read:target.xml:"):
        offset, size = (int(word, 16) for word in packet.rsplit(":", 1)[1].split(","))
        part = TARGET[offset:offset + size]
        return ("m" if offset + size < len(TARGET) else "l") + part
    fixed = {"?": "T05thread:1;", "qC": "QC1", "qfThreadInfo": "m1", "qsThreadInfo": "l", "vCont?": "vCont;c;C;s;S"}
    if packet in fixed:
        return fixed[packet]
    if packet == "g":
        return "00" * (17 * 8 + 7 * 4 + 8 * 10 + 8 * 4)
    if packet.startswith("m"):
        return "00" * int(packet.split(",")[1], 16)
    if packet.startswith("vCont;"):
        return "W00"
    if packet[:1] in ("Z", "z", "H", "X", "P", "T") or packet == "D":
        return "OK"
    return ""


def sent(conditions):
    ours = socket.create_server(("127.0.0.1", 0))
    commands = [f"target remote 127.0.0.1:{ours.getsockname()[1]}", "set dprintf-style agent"]
    for number, condition in enumerate(conditions, 1):
        commands.append(r'dprintf *0x1000,"%d\n",$rax')
        if condition:
            commands.append(f"condition {number} {condition}")
    words = [word for command in (*commands, "continue") for word in ("-ex", command)]
    gdb = subprocess.Popen(["root/usr/bin/gdb", "-nx", "-batch", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
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
    front, _, behind = breakpoints[-1].partition(";cmds:")
    counts = behind.count("X"), front.count("X")
    return ", ".join(f"{count} {word}" + ("" if count == 1 else "s") for count, word in zip(counts, ("command", "condition")))


for name, conditions in (("one, if $rax == 5", ["$rax == 5"]), ("one, if $eax == 5", ["$eax == 5"]),
                         ("two, one if $rax == 5", ["$rax == 5", ""])):
    print(f"{name:24} {sent(conditions)}")
END
timeout 120 python3 stub.py >result
root/usr/bin/gdb --version | head -n 1
cat result
cat >expected <<'END'
one, if $rax == 5        1 command, 1 condition
one, if $eax == 5        1 command, 0 conditions
two, one if $rax == 5    2 commands, 0 conditions
END
cmp -s result expected || {
    echo "this has changed" >&2
    exit 1
}
