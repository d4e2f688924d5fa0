"""Case 9: what a virtio console and a virtio network card send, through a socket each."""
import socket
import time

from .running import Absent, measure
from .serial import PATIENCE, Client
from .stats import Row, Target

CONSOLE, CARD = 3, 1  # IDs of virtio devices
CHUNK = 2048          # bytes, as Linux writes to a console
FRAME = 60            # bytes, the shortest on a wire
FRAMED = 4 + FRAME    # on a stream socket


def console_rate(bench, name, chunks):
    """Bytes a second, of those that arrive, from the first to the last. QEMU's virtconsole drops what its client is late for."""
    image = bench.counted("virtio-send", chunks, CONSOLE, CHUNK, 0)
    with Client(bench, name, image, "tcp", console=True) as client:
        got = first = len(client.receive())
        start = end = time.perf_counter()
        while chunk := client.receive():
            got += len(chunk)
            end = time.perf_counter()
        if name == "asyncvm" and got != chunks * CHUNK:
            raise Absent(f"{got} of {chunks * CHUNK} bytes have arrived: {client.why()}")
        if got == first:
            raise Absent(client.why())
        return (got - first) / (end - start)


def frame_rate(bench, name, count):
    """Frames a second from the first that come to the last."""
    image = bench.counted("virtio-send", count, CARD, 12 + FRAME, 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        with Client(bench, name, image, "tcp", net=listener.getsockname()[1]) as client:
            try:
                peer, _ = listener.accept()
            except TimeoutError:
                raise Absent(client.why()) from None
            with peer:
                peer.settimeout(PATIENCE)
                if client.receive() != b"<":
                    raise Absent(client.why())
                client.send(b"x")
                return counted_frames(peer, count)


def counted_frames(peer, count):
    got = first = 0
    start = end = 0.0
    while got < count * FRAMED:
        try:
            chunk = peer.recv(1 << 16)
        except TimeoutError:
            chunk = b""
        if not chunk:
            raise Absent(f"{got // FRAMED} of {count} frames have arrived")
        got += len(chunk)
        end = time.perf_counter()
        if not first:
            first, start = got, end
    return (got - first) / FRAMED / (end - start)


def senders(bench):
    rounds = max(3, bench.rounds // 2)
    for name, factor, unit, rate, count in (
            ("console output, 2 KiB at a time", 3, "B/s", console_rate, bench.counts.console_chunks),
            ("frames of 60 bytes, stream socket", 1.5, "/s", frame_rate, bench.counts.frames)):
        subjects = {who: lambda who=who, rate=rate, count=count: rate(bench, who, count) for who in ("asyncvm", "QEMU")}
        yield measure(bench, Row(9, name, unit, True, [Target(factor, "QEMU")]), subjects, rounds)
