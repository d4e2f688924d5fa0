"""asyncvm in a machine that is reached over one TCP port of this host, each connection to which is a shell there
(test/nested/debug). gdb runs here: there a start of it takes as long as twenty guests."""
import base64
import contextlib
import os
import re
import shlex
import socket
import threading


class Shell:
    """A shell there."""

    def __init__(self, address, patience):
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def say(self, text):
        self.socket.sendall(text.encode() + b"\n")

    def all(self):
        """What it prints until its end."""
        with self.socket, self.socket.makefile() as lines:
            return lines.read()


class Process:
    """Of subprocess.Popen what the tests use. What it prints and its exit code come over its shell."""

    ENDED = re.compile(r"^@ended (\d+)$", re.M)

    def __init__(self, address, patience, words, files):
        self.address, self.patience, self.returncode = address, patience, None
        self.shell = Shell(address, patience)
        for path, data in files.items():
            self.shell.say(f"mkdir -p {os.path.dirname(path)}; base64 -d >{path} <<'.'\n{base64.encodebytes(data).decode()}.")
        self.shell.say(f"cd /tmp; sh -c 'echo $$; exec \"$@\"' sh {shlex.join(words)} </dev/null 2>&1; printf '\\n@ended %d\\n' $?; exit")
        self.stderr = self.shell.socket.makefile()
        self.pid = int(self.stderr.readline())

    def communicate(self, timeout=None):
        if self.returncode is None:
            self.shell.socket.settimeout(timeout or self.patience)
            text = self.stderr.read()
            self.stderr.close()
            self.shell.socket.close()
            self.returncode = int(self.ENDED.search(text)[1])
            return "", self.ENDED.sub("", text)
        return "", ""

    def send_signal(self, number):
        shell = Shell(self.address, self.patience)
        shell.say(f"kill -{int(number)} {self.pid}; exit")
        shell.all()

    def kill(self):
        if self.returncode is None:
            self.send_signal(9)


class Relay:
    """A Unix socket here that leads to a TCP port there."""

    def __init__(self, path, address, port, patience):
        self.address, self.port, self.patience = address, port, patience
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                here = self.listener.accept()[0]
            except OSError:
                return
            shell = Shell(self.address, self.patience)
            # What comes behind the line would be the shell's.
            shell.say(f"echo; exec nc 127.0.0.1 {self.port}")
            there = shell.socket
            there.settimeout(None)
            while there.recv(1) not in (b"\n", b""):
                pass
            threading.Thread(target=self.connect, args=(here, there), daemon=True).start()

    def connect(self, here, there):
        with here, there:
            back = threading.Thread(target=self.copy, args=(there, here), daemon=True)
            back.start()
            self.copy(here, there)
            back.join()

    @staticmethod
    def copy(source, to):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
