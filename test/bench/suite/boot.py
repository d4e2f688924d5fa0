"""Case 7: a Linux boots to its first process. Only in the emulated machine, which brings the kernel."""
import os
import selectors
import subprocess
import time
from pathlib import Path

from .running import Absent, from_one_run, last_words, measure
from .stats import Row, Target

KERNEL, INITRD = "/linux/vmlinuz", "/linux/initrd"
# KVM's own counter, of all virtual machines: here there is one at a time.
EXITS = Path("/sys/kernel/debug/kvm/exits")
FIRST_WORDS = b"init: 1 CPUs"  # of the initial RAM disk's first process
MEBIBYTES = 256
PATIENCE = 300


def command_line(quiet):
    return f"console=ttyS0{' quiet' if quiet else ''}"


def asyncvm(bench, quiet):
    return [bench.asyncvm, "-m", f"{MEBIBYTES}M", "--initrd", INITRD, "--append", command_line(quiet), KERNEL]


def qemu(bench, quiet):
    if not bench.qemu:
        raise Absent("qemu-system-x86_64 is not installed")
    return [bench.qemu, "-accel", "kvm", "-M", "microvm,acpi=on", "-cpu", "host", "-nodefaults", "-no-user-config",
            "-display", "none", "-m", str(MEBIBYTES), "-serial", "stdio", "-kernel", KERNEL, "-initrd", INITRD,
            "-append", command_line(quiet), "-no-reboot"]


def kvmtool(bench, quiet):
    if not bench.kvmtool:
        raise Absent("kvmtool is not installed (Debian 12 has no package)")
    return [bench.kvmtool, "run", "-k", KERNEL, "-i", INITRD, "-m", str(MEBIBYTES), "-c", "1", "--console", "serial", "-n", "mode=none",
            "-p", command_line(quiet)]


MONITORS = {"asyncvm": asyncvm, "QEMU microvm": qemu, "kvmtool": kvmtool}


def count():
    return int(EXITS.read_text())


def wait_for_words(child):
    """Reads on until the first process has spoken."""
    seen = b""
    end = time.monotonic() + PATIENCE
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while FIRST_WORDS not in seen:
            if not selector.select(max(0, end - time.monotonic())):
                return False
            data = os.read(child.stdout.fileno(), 65536)
            if not data:
                return False
            seen += data
    return True


def boot(bench, name, quiet):
    """Exits, and nanoseconds, from exec to the first process."""
    if not Path(KERNEL).exists():
        raise Absent("only in the emulated machine (--nested), which brings a kernel")
    command = MONITORS[name](bench, quiet)
    before = count()
    start = time.perf_counter()
    with open(bench.work / "errors", "wb") as errors, \
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, bufsize=0,
                             env={**os.environ, "HOME": str(bench.work)}) as child:
        there = wait_for_words(child)
        taken, exits = time.perf_counter() - start, count() - before
        child.kill()
    if not there:
        raise Absent(last_words((bench.work / "errors").read_text(errors="replace")))
    return exits, taken * 1e9


def boots(bench):
    for quiet, words, few, soon in ((True, "quiet", 0.13, 0.6), (False, "with its log", 0.36, 0.5)):
        exits, times = from_one_run(lambda name: boot(bench, name, quiet), MONITORS, 2)
        yield measure(bench, Row(7, f"exits to init, {words}", "exits", targets=[Target(few, "kvmtool")], optional=True), exits)
        targets = [Target(soon, "kvmtool"), *([Target(0.38, "QEMU microvm")] if quiet else [])]
        yield measure(bench, Row(7, f"time to init, {words}", "ns", targets=targets, optional=True), times)
