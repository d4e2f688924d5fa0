"""Case 4: bytes a second between a guest's serial port and its client."""
import select
import socket
import statistics
import time

from . import monitors
from .running import Absent, last_words, measure
from .stats import Row, Target

PATIENCE = 15  # seconds without a byte


class Client:
    """The other end of a guest's serial port, on TCP or on pipes, and the monitor. The monitor connects to the client, so that
    no attempt to connect is part of the time."""

    def __init__(self, bench, name, image, kind, **machine):
        self.bench, self.stream = bench, None
        if kind == "stdio":
            self.child = monitors.start(bench, name, image, monitors.Stream("stdio"))
            return
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(PATIENCE)
            self.child = monitors.start(bench, name, image, monitors.Stream("connect", listener.getsockname()[1], **machine))
            listener.settimeout(0.1)
            while self.stream is None:
                try:
                    self.stream, _ = listener.accept()
                except TimeoutError:
                    if self.child.poll() is not None:
                        raise Absent(self.why()) from None
            self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        for stream in (self.stream, self.child.stdin, self.child.stdout):
            if stream:
                stream.close()

    def why(self):
        return last_words((self.bench.work / "errors").read_text(errors="replace"))

    def receive(self):
        """Some bytes; none at the end."""
        source = self.stream or self.child.stdout
        if not select.select([source], [], [], PATIENCE)[0]:
            raise Absent(f"no byte for {PATIENCE} s")
        try:
            return self.stream.recv(1 << 16) if self.stream else self.child.stdout.read(1 << 16)
        except ConnectionResetError:
            return b""

    def send(self, data):
        if self.stream:
            self.stream.sendall(data)
        else:
            self.child.stdin.write(data)


def output_rate(bench, name, image, count, kind):
    """Bytes a second from the first chunk to the last."""
    with Client(bench, name, image, kind) as client:
        got = len(client.receive())
        first, start = got, time.perf_counter()
        end = start
        while got < count:
            chunk = client.receive()
            if not chunk:
                raise Absent(f"{got} of {count} bytes have arrived" if got else client.why())
            got += len(chunk)
            end = time.perf_counter()
        return (got - first) / (end - start)


def input_rate(bench, name, image, count, kind):
    """Bytes a second from the send of the first to the guest's word that it has all of them."""
    if name == "kvmtool":
        raise Absent("kvmtool reads input from a terminal only")
    with Client(bench, name, image, kind) as client:
        if client.receive() != b"<":
            raise Absent(client.why())
        start = time.perf_counter()
        client.send(b"x" * count)
        if client.receive() != b">":
            raise Absent("the guest has not got all")
        return count / (time.perf_counter() - start)


def echo_time(bench, name, count):
    """Nanoseconds from a byte's send to its return by the guest's interrupt handler, the median of `count`."""
    with Client(bench, name, bench.counted("echo", count), "tcp", interrupts=True) as client:
        if client.receive() != b"<":
            raise Absent(client.why())
        times = []
        for _ in range(count):
            start = time.perf_counter()
            client.send(b"x")
            if client.receive() != b"x":
                raise Absent("the guest has ended")
            times.append(time.perf_counter() - start)
        return statistics.median(times) * 1e9


def serial_port(bench):
    count = bench.counts.serial_bytes
    ahead = [Target(1, "QEMU"), Target(1, "kvmtool")]
    rounds = max(3, bench.rounds // 2)

    def subjects(rate, guest, how_many):
        image = bench.counted(guest, how_many)

        def of(name):
            return lambda: rate(bench, name, image, how_many, "stdio" if name == "kvmtool" else "tcp")
        return {name: of(name) for name in ("asyncvm", "bare C", "QEMU", "kvmtool")}

    for guest, name in (("output-polled", "output, LSR polled"), ("output-plain", "output, not polled"),
                        ("output-string", "output, REP OUTSB")):
        yield measure(bench, Row(4, name, "B/s", True, list(ahead)), subjects(output_rate, guest, count), rounds)
    inputs = count // 4
    yield measure(bench, Row(4, "input, LSR polled", "B/s", True, list(ahead)), subjects(input_rate, "input", inputs), rounds)
    subjects = {name: lambda name=name: echo_time(bench, name, bench.counts.echoes) for name in ("asyncvm", "QEMU")}
    yield measure(bench, Row(4, "a byte and its echo, by interrupt", "ns", targets=[Target(1, "QEMU")]), subjects, rounds)
