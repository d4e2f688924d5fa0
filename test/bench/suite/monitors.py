"""The monitors that run the same flat guest, and what they are started with."""
import os
import subprocess
from dataclasses import dataclass

from .running import Absent

MEBIBYTES = 16


@dataclass(frozen=True)
class Stream:
    """Where a guest's serial port goes: "stdio", or a TCP port of loopback that the monitor "listen"s on or "connect"s to."""
    kind: str
    port: int = 0
    interrupts: bool = False  # the machine has interrupt controllers
    disk: str = ""            # file behind a virtio disk on virtio-mmio
    console: bool = False     # the stream is that of a virtio console on virtio-mmio, in place of the serial port's
    net: int = 0              # TCP port of loopback where a virtio network card's peer listens


def asyncvm(bench, image, stream):
    spec = {"stdio": "stdio", "listen": f"tcp:{stream.port}", "connect": f"tcp:127.0.0.1:{stream.port},client"}[stream.kind]
    devices = ["--disk", stream.disk] if stream.disk else []
    if stream.net:
        devices += ["--net", f"stream:tcp:127.0.0.1:{stream.net}"]
    ports = ["--serial", "null", "--console", spec] if stream.console else ["--serial", spec]
    return [bench.asyncvm, "-m", f"{MEBIBYTES}M", "--irqchip", "on" if stream.interrupts else "off", *devices, *ports, image]


def bare(bench, image, stream):
    where = stream.kind if stream.kind == "stdio" else f"{stream.kind}:{stream.port}"
    return [bench.program("bare-serial"), image, where, str(MEBIBYTES)]


def bare_with_cpuid(bench, image, stream):
    return [*bare(bench, image, stream), "cpuid"]


def qemu(bench, image, stream):
    if not bench.qemu:
        raise Absent("qemu-system-x86_64 is not installed")
    address = f"host=127.0.0.1,port={stream.port}"
    chardev = {"stdio": "stdio,signal=off", "listen": f"socket,{address},server=on,wait=on", "connect": f"socket,{address}"}
    pic = "on" if stream.interrupts else "off"
    # The guest opens the PIC's way through x2APIC's registers.
    cpu = ["-cpu", "qemu64,+x2apic"] if stream.interrupts else []
    modern = ["-global", "virtio-mmio.force-legacy=false"]
    devices, ports = [], ["-serial", "chardev:stream"]
    if stream.disk:
        devices += [*modern, "-object", "iothread,id=io", "-drive", f"if=none,id=disk,format=raw,file={stream.disk}",
                    "-device", "virtio-blk-device,drive=disk,iothread=io"]
    if stream.net:
        devices += [*modern, "-netdev", f"stream,id=net,server=off,addr.type=inet,addr.host=127.0.0.1,addr.port={stream.net}",
                    "-device", "virtio-net-device,netdev=net"]
    if stream.console:
        ports = ["-serial", "null", *modern, "-device", "virtio-serial-device,max_ports=1", "-device", "virtconsole,chardev=stream"]
    return [bench.qemu, "-accel", "kvm", *cpu, "-M", f"microvm,pit=off,pic={pic},rtc=off,isa-serial=on,auto-kernel-cmdline=off",
            "-nodefaults", "-no-user-config", "-display", "none", "-m", f"{MEBIBYTES}M", "-bios", bench.guest("firmware"),
            "-device", f"loader,file={image},addr=0x10000,force-raw=on", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
            *devices, "-chardev", f"{chardev[stream.kind]},id=stream", *ports]


def kvmtool(bench, image, stream):
    if not bench.kvmtool:
        raise Absent("kvmtool is not installed (Debian 12 has no package)")
    if stream.kind != "stdio":
        raise Absent("kvmtool has no TCP")
    return [bench.kvmtool, "run", "-k", image, "-m", str(MEBIBYTES), "-c", "1", "--console", "serial", "-n", "mode=none"]


MONITORS = {"asyncvm": asyncvm, "bare C": bare, "bare C, CPUID": bare_with_cpuid, "QEMU": qemu, "kvmtool": kvmtool}


def start(bench, name, image, stream):
    """A Popen. Standard input and output are pipes for stdio, otherwise nothing; what it says is in `work`/errors."""
    command = MONITORS[name](bench, image, stream)
    pipe = subprocess.PIPE if stream.kind == "stdio" else subprocess.DEVNULL
    with open(bench.work / "errors", "wb") as errors:
        # kvmtool keeps sockets in the home directory.
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, bufsize=0,
                                env={**os.environ, "HOME": str(bench.work)})
