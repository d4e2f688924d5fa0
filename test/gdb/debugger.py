"""asyncvm with a guest of a few bytes, and a real gdb on it."""
import os
import re
import socket
import subprocess
import sys
import tempfile
import unittest

import elsewhere

PROGRAM = os.environ["ASYNCVM"]
ACCELERATOR = os.environ.get("ASYNCVM_TEST_ACCEL", "kvm")
GDB = os.environ.get("GDB", "gdb")
ELSEWHERE = os.environ.get("ASYNCVM_ELSEWHERE")  # HOST:PORT: asyncvm runs in a machine behind it
PATIENCE = 60 * (4 if os.environ.get("TEST_PATIENCE") else 1)  # seconds

# mov ax, 0x1234 (16 bits) or mov eax, 0x1234 (else); then at 0x10008: inc of a register, jmp back to it
NOPS = b"\x90"
SPIN_16 = NOPS * 5 + b"\xb8\x34\x12" + b"\x40" + b"\xeb\xfd"
SPIN_32 = NOPS * 3 + b"\xb8\x34\x12\x00\x00" + b"\x40" + b"\xeb\xfd"
SPIN_64 = NOPS * 3 + b"\xb8\x34\x12\x00\x00" + b"\xff\xc0" + b"\xeb\xfc"


def debug(target, *commands, file=()):
    """What gdb prints for these commands, on this target; `file`: the program that it knows beforehand."""
    words = [word for command in ("set confirm off", f"target remote {target}", *commands) for word in ("-ex", command)]
    # With `set debug remote` a newer gdb shows packets of bytes as they are.
    done = subprocess.run([GDB, "-nx", "-batch", *words, *file], stdin=subprocess.DEVNULL, text=True, errors="backslashreplace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
    return done.stdout


def start(code, directory, *options):
    """asyncvm with this guest."""
    image = os.path.join(directory, "guest")
    words = [PROGRAM, "--accel", ACCELERATOR, "--serial", "null", "--debugcon", "null", *options, image]
    if ELSEWHERE:
        return elsewhere.Process(ELSEWHERE, PATIENCE, words, {image: code})
    with open(image, "wb") as file:
        file.write(code)
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Machine:
    """A running asyncvm that a debugger can reach."""

    def __init__(self, code, *options, gdb="", place=None, control=None):
        self.directory = tempfile.TemporaryDirectory()
        if control:
            options += ("--control", "unix:" + self.file(control))
        self.path = os.path.join(self.directory.name, "gdb")
        place = place or ("tcp:0" if ELSEWHERE else "unix:" + self.path)
        self.process = start(code, self.directory.name, "--gdb", place + gdb, *options)
        self.said = self.wait_for("gdb: listens on")
        self.target = re.search("'target remote (.*)'", self.said)[1]
        if ELSEWHERE:
            self.relay = elsewhere.Relay(self.path, ELSEWHERE, self.target.rpartition(":")[2], PATIENCE)
            self.target = self.path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if ELSEWHERE:
            self.relay.close()
        self.process.kill()
        self.process.communicate()
        self.directory.cleanup()

    def wait_for(self, text):
        """Lines of the standard error until one that has the text."""
        lines = ""
        while text not in lines:
            line = self.process.stderr.readline()
            if not line:
                raise AssertionError(f"asyncvm ended without '{text}': {lines}")
            lines += line
        return lines

    def ended(self):
        """Its exit code, and what else it has said."""
        _, said = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, said

    def debug(self, *commands, file=()):
        """What gdb prints for these commands, one after the other, on this machine."""
        return debug(self.target, *commands, file=file)

    def file(self, name):
        """A path in a directory that goes with the machine."""
        return os.path.join(self.directory.name, name)

    def client(self):
        """A client of the protocol itself."""
        return Client(self.path)


class Client:
    """Sends packets as gdb does."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.got = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, text):
        packet = text.encode() if isinstance(text, str) else text
        self.socket.sendall(b"$" + packet + b"#%02x" % (sum(packet) & 255))

    def receive(self):
        """The text of the next packet, with runs written out."""
        while not (found := re.search(rb"\$([^#]*)#..", self.got, re.S)):
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError
            self.got += more
        self.got = self.got[found.end():]
        try:
            self.socket.sendall(b"+")
        except BrokenPipeError:
            pass  # it was the last
        return re.sub(rb"(.)\*(.)", lambda run: run[1] * (run[2][0] - 28), found[1], flags=re.S).decode("latin-1")

    def ask(self, text):
        self.send(text)
        return self.receive()


class Case(unittest.TestCase):
    def assert_goes_on(self, machine):
        """The first register of a running guest changes between two visits, or the test ends by its limit of time."""
        seen = set()
        while len(seen) < 2:
            with machine.client() as client:
                client.ask("?")
                seen.add(client.ask("g")[:8])

    def assert_lines(self, text, *lines):
        """Each of these stands in the text, in this order."""
        at = 0
        for line in lines:
            found = text.find(line, at)
            self.assertGreaterEqual(found, 0, f"'{line}' is not (or not there) in:\n{text}")
            at = found + len(line)


def works():
    """Whether this host can run a guest so."""
    with tempfile.TemporaryDirectory() as directory:
        process = start(b"\xf4", directory)
        _, said = process.communicate()
        return said if process.returncode != 0 else ""


def probed():
    """What --probe-lines says of the host that asyncvm runs on."""
    words = [PROGRAM, "--probe-lines"]
    if ELSEWHERE:
        return elsewhere.Process(ELSEWHERE, PATIENCE, words, {}).communicate()[1]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def main(needs_gdb=True):
    try:
        if needs_gdb:
            subprocess.run([GDB, "--version"], check=True, stdout=subprocess.DEVNULL)
    except OSError as error:
        print(f"SKIP: there is no gdb: {error}")
        sys.exit(77)
    if why_not := works():
        print(f"SKIP: {why_not}")
        sys.exit(77)
    unittest.main(module="__main__")
