"""Case 10: a debugger's steps, conditional breakpoints, dprintfs and reads, by gdb's protocol on a Unix socket."""
import re
import shutil
import socket
import subprocess
import time

from .running import Absent, last_words, measure
from .stats import Row, Target

PATIENCE = 60       # seconds
BOOT = 0x7c00       # where a boot sector is
BEHIND_INC = 0x7c01
MEBIBYTES = 16
READ_FROM = 0x100000  # memory that is all zeros ...
READ_SIZE = 8 << 20   # ... and as much of it
# inc ax; jmp back to it
LOOP = b"\x49\x75\xfd\xeb\xfe"  # dec cx; jnz back to it; then jmp $
SPIN = b"\x40\xeb\xfd"


class Debugged:
    """A monitor whose guest stands in front of the boot sector's first instruction."""

    def __init__(self, bench, name, code=SPIN, accelerator="kvm"):
        self.bench, self.name, self.accelerator = bench, name, accelerator
        image, self.path = bench.work / "sector", bench.work / "gdb"
        image.write_bytes(code.ljust(510, b"\0") + b"\x55\xaa")
        self.path.unlink(missing_ok=True)
        self.errors = open(bench.work / "errors", "w+b")
        self.process = subprocess.Popen(self.command(str(image)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.errors)

    def command(self, image):
        if self.name == "asyncvm":
            return [self.bench.asyncvm, "--accel", self.accelerator, "-m", f"{MEBIBYTES}M", "--format", "boot", "--serial", "null", "--gdb", f"unix:{self.path},wait", image]
        if self.name == "bare C":
            return [self.bench.program("bare-steps"), image, str(self.path)]
        if not self.bench.qemu:
            raise Absent("qemu-system-x86_64 is not installed")
        return [self.bench.qemu, "-accel", "tcg", "-m", f"{MEBIBYTES}M", "-nodefaults", "-no-user-config", "-display", "none", "-S",
                "-chardev", f"socket,path={self.path},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb",
                "-drive", f"if=floppy,format=raw,file={image}"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.errors.close()

    def why(self):
        self.errors.seek(0)
        return last_words(self.errors.read().decode(errors="replace"))

    def connect(self):
        """A socket, as soon as it listens."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(PATIENCE)
            try:
                client.connect(str(self.path))
                return client
            except OSError:
                client.close()
                time.sleep(0.01)
        raise Absent(self.why())

    def client(self):
        client = Client(self.connect())
        client.ask("qSupported:swbreak+;hwbreak+")
        client.ask("QStartNoAckMode")
        client.ask("?")
        if self.name == "QEMU, TCG":  # its BIOS comes first
            client.ask(f"Z0,{BOOT:x},1")
            client.ask("vCont;c")
            client.ask(f"z0,{BOOT:x},1")
        return client


class Client:
    """Sends packets as gdb does."""

    def __init__(self, connection):
        self.socket = connection
        self.got = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self, text):
        packet = text.encode()
        self.socket.sendall(b"$%b#%02x" % (packet, sum(packet) & 255))
        while True:
            start = self.got.find(b"$")
            end = self.got.find(b"#", start)
            if start >= 0 and end >= 0 and len(self.got) >= end + 3:
                reply, self.got = self.got[start + 1:end], self.got[end + 3:]
                return reply
            try:
                more = self.socket.recv(1 << 20)
            except TimeoutError:
                more = b""
            if not more:
                raise Absent(f"no answer to {text}")
            self.got += more


def steps(bench, name, accelerator="kvm"):
    """Single steps a second, each with its answer."""
    count = bench.counts.steps
    with Debugged(bench, name, accelerator=accelerator) as machine, machine.client() as client:
        for _ in range(20):
            client.ask("vCont;s:1")
        start = time.perf_counter()
        for _ in range(count):
            if not (answer := client.ask("vCont;s:1")).startswith(b"T05"):
                raise Absent(f"a step ended with {answer[:20]}")
        return count / (time.perf_counter() - start)


def emulated_steps(bench, name):
    """The same where neither uses KVM."""
    return steps(bench, name, "unicorn")


def range_steps(bench, name):
    """Instructions a second that one packet steps over, as gdb's `step` does where a line of source has many."""
    count = bench.counts.steps
    with Debugged(bench, name, LOOP) as machine, machine.client() as client:
        client.ask(f"P1={(count // 2).to_bytes(4, 'little').hex()}")  # ecx
        start = time.perf_counter()
        answer = client.ask(f"vCont;r{BOOT:x},{BOOT + 3:x}:1")
        taken = time.perf_counter() - start
        if not answer.startswith(b"T05"):
            raise Absent(f"the steps ended with {answer[:20]}")
        return count / taken


def reads(bench, name):
    """Bytes of memory a second, in packets as large as the monitor takes them."""
    with Debugged(bench, name) as machine, machine.client() as client:
        # A run of one byte is shortened: the byte, '*', and how often it comes again, from 29 on.
        features = re.sub(rb"(.)\*(.)", lambda run: run[1] * (run[2][0] - 28), client.ask("qSupported"))
        size = (int(re.search(rb"PacketSize=([0-9a-f]+)", features)[1], 16) - 64) // 2
        kind = "x" if b"binary-upload+" in features else "m"
        start, done = time.perf_counter(), 0
        while done < READ_SIZE:
            if client.ask(f"{kind}{READ_FROM + done:x},{size:x}")[:1] in (b"E", b""):
                raise Absent("memory can't be read")
            done += size
        return done / (time.perf_counter() - start)


def conditions(bench, name):
    """How often a second a real gdb finds out that the guest goes on: the condition of a breakpoint does not hold."""
    gdb = shutil.which("gdb")
    if not gdb:
        raise Absent("gdb is not installed")
    count = bench.counts.conditions
    with Debugged(bench, name) as machine:
        machine.connect().close()
        commands = [f"target remote {machine.path}"]
        if name != "asyncvm":
            commands += [f"hbreak *{BOOT:#x}", "continue", "delete"]
        commands += ["set $eax = 0", f"break *{BEHIND_INC:#x} if $eax == {count}", "python import time; start = time.perf_counter()",
                     "continue", "python print('seconds', time.perf_counter() - start)", "p $eax", "kill"]
        words = [word for command in ("set confirm off", *commands) for word in ("-ex", command)]
        done = subprocess.run([gdb, "-nx", "-batch", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
        found = re.search(r"^seconds (\S+)", done.stdout, re.M)
        if not found or f" = {count}\n" not in done.stdout:
            raise Absent(last_words(done.stderr))
        return count / float(found[1])


def dprintfs(bench, name):
    """Lines a second that a real gdb shows: asyncvm prints them itself, for QEMU gdb does, at a stop each."""
    gdb = shutil.which("gdb")
    if not gdb:
        raise Absent("gdb is not installed")
    count = bench.counts.conditions
    with Debugged(bench, name, LOOP) as machine:
        machine.connect().close()
        commands = [f"target remote {machine.path}", "set dprintf-style agent"]
        if name != "asyncvm":
            commands += [f"hbreak *{BOOT:#x}", "continue", "delete"]
        commands += [f"set $ecx = {count}", f'dprintf *{BOOT:#x},"line %d\\n",$ecx', f"break *{BOOT + 3:#x}",
                     "python import time; start = time.perf_counter()", "continue", "python print('seconds', time.perf_counter() - start)", "kill"]
        words = [word for command in ("set confirm off", *commands) for word in ("-ex", command)]
        # What a target prints gdb shows on its standard error.
        done = subprocess.run([gdb, "-nx", "-batch", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=300)
        found = re.search(r"^seconds (\S+)", done.stdout, re.M)
        shown = len(re.findall(r"^line \d+$", done.stdout, re.M))
        # gdb goes over one that is where the guest stands.
        if not found or shown not in (count, count - 1):
            raise Absent(f"{shown} of {count} lines: {last_words(done.stdout)}")
        return shown / float(found[1])


def debugger(bench):
    rounds = max(3, bench.rounds // 2)
    every = ("asyncvm", "QEMU, TCG")
    for row, function, names in (
            (Row(10, "single steps", "/s", True, [Target(3, "QEMU, TCG")]), steps, (*every, "bare C")),
            (Row(10, "single steps, without KVM", "/s", True, [Target(3, "QEMU, TCG")]), emulated_steps, every),
            (Row(10, "single steps within a range", "/s", True), range_steps, ("asyncvm",)),
            (Row(10, "a condition of a breakpoint that does not hold, by gdb", "/s", True, [Target(2, "QEMU, TCG")]), conditions, every),
            (Row(10, "lines of a dprintf, by gdb", "/s", True), dprintfs, every),
            (Row(10, "reads of memory", "B/s", True, [Target(100e6)]), reads, every)):
        subjects = {who: lambda who=who, function=function: function(bench, who) for who in names}
        yield measure(bench, row, subjects, rounds)
