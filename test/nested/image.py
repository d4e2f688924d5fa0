"""The initial RAM disk of the emulated machine: all that it has. In cpio's "newc" format, not compressed."""
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from kernel import Missing


class Image:
    """Collects files by their path in the machine. What was added first stays."""

    def __init__(self):
        self._entries = {}  # path -> (mode, bytes)

    def folder(self, path):
        if path not in self._entries and path != "/":
            self.folder(os.path.dirname(path))
            self._entries[path] = (stat.S_IFDIR | 0o755, b"")

    def put(self, path, data, mode=0o644):
        self.folder(os.path.dirname(path))
        self._entries.setdefault(path, (stat.S_IFREG | mode, data))

    def link(self, path, to):
        self.folder(os.path.dirname(path))
        self._entries.setdefault(path, (stat.S_IFLNK | 0o777, os.fsencode(to)))

    def file(self, path):
        """A file of this host at the same path, without its debug information if it is a program."""
        path = os.path.abspath(path)
        data = Path(path).read_bytes()
        self.put(path, data, 0o755 if os.access(path, os.X_OK) else 0o644)

    def program(self, path):
        """A program of this host at the same path, with the shared libraries that it needs."""
        path = os.path.abspath(path)
        if path in self._entries:
            return
        self.put(path, stripped(path), 0o755)
        listing = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        if missing := re.findall(r"(\S+) => not found", listing):
            raise Missing(f"{path} needs shared libraries that are not installed: {', '.join(missing)}")
        for library in re.findall(r"(?:=> |^\s*)(/\S+) \(0x", listing, re.M):
            self.put(library, Path(library).read_bytes(), 0o755)

    def pack(self):
        out = bytearray()
        for number, (path, (mode, data)) in enumerate([*self._entries.items(), ("/TRAILER!!!", (0, b""))], 1):
            name = os.fsencode(path[1:]) + b"\0"
            fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
            out += b"070701" + b"".join(b"%08X" % field for field in fields) + name
            out += b"\0" * (-len(out) % 4) + data
            out += b"\0" * (-len(out) % 4)
        return bytes(out)


def stripped(path):
    """A program's bytes without debug information, where objcopy is at hand: they are most of it."""
    if shutil.which("objcopy") is None:
        return Path(path).read_bytes()
    temporary = f"{path}.stripped.{os.getpid()}"
    try:
        subprocess.run(["objcopy", "--strip-debug", path, temporary], check=True, capture_output=True)
        return Path(temporary).read_bytes()
    except subprocess.CalledProcessError:
        return Path(path).read_bytes()
    finally:
        Path(temporary).unlink(missing_ok=True)


def is_program(path):
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False
