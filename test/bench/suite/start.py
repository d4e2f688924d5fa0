"""Case 5: from exec to a guest's first byte and to the end, and what a monitor takes of memory."""
import re
import os
import socket
import time
from pathlib import Path

from . import monitors
from .running import Absent, from_one_run, last_words, measure
from .serial import Client
from .stats import Row, Target

PATIENCE = 20


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def connected(port, deadline):
    """Tries every tenth of a millisecond: without a pause it would take a processor from what it waits for."""
    while time.perf_counter() < deadline:
        stream = socket.socket()
        try:
            stream.connect(("127.0.0.1", port))
            stream.settimeout(PATIENCE)
            return stream
        except OSError:
            stream.close()
            time.sleep(1e-4)
    raise Absent("it does not listen")


def spawned(bench, command, stdout):
    """posix_spawn: the least that is between us and exec."""
    null = os.open(os.devnull, os.O_RDWR)
    errors = os.open(bench.work / "errors", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    environment = {**os.environ, "HOME": str(bench.work)}
    actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null if stdout is None else stdout, 1),
               (os.POSIX_SPAWN_DUP2, errors, 2)]
    try:
        return os.posix_spawnp(command[0], command, environment, file_actions=actions)
    finally:
        os.close(null)
        os.close(errors)


def life(bench, name, kind):
    """Nanoseconds from exec to the first byte at the client, and to the end of the process."""
    image = bench.counted("first-byte", 0)
    port = free_port() if kind == "listen" else 0
    listener = socket.create_server(("127.0.0.1", 0)) if kind == "connect" else None
    if listener:
        listener.settimeout(PATIENCE)
        port = listener.getsockname()[1]
    near, far = os.pipe() if kind == "stdio" else (None, None)
    command = monitors.MONITORS[name](bench, image, monitors.Stream(kind, port))
    start = time.perf_counter()
    child = spawned(bench, command, far)
    stream = None
    try:
        if near is not None:
            os.close(far)
            byte = os.read(near, 1)
        else:
            stream = listener.accept()[0] if listener else connected(port, start + PATIENCE)
            byte = stream.recv(1)
        first = time.perf_counter()
        if stream:
            stream.recv(1)  # the end of the stream
            stream.close()
    except (TimeoutError, ConnectionError):
        byte = b""
    finally:
        if listener:
            listener.close()
        if near is not None:
            os.close(near)
    if byte != b"!":
        os.kill(child, 9)
    os.waitpid(child, 0)
    if byte != b"!":
        raise Absent(last_words((bench.work / "errors").read_text(errors="replace")))
    return (first - start) * 1e9, (time.perf_counter() - start) * 1e9


PC = {"asyncvm": lambda bench, image: [bench.asyncvm, "--machine", "pc", "-m", f"{monitors.MEBIBYTES}M", image],
      "bare C": lambda bench, image: [bench.program("bare-serial"), image, "stdio", str(monitors.MEBIBYTES), "cpuid", "irqchip"]}


def pc_entered(bench, name):
    """Nanoseconds from exec to the first byte of a guest of the pc machine; the bare program has what KVM makes of one."""
    near, far = os.pipe()
    start = time.perf_counter()
    child = spawned(bench, PC[name](bench, bench.counted("first-byte", 0)), far)
    os.close(far)
    byte = os.read(near, 1)
    taken = time.perf_counter() - start
    os.close(near)
    os.kill(child, 9)
    os.waitpid(child, 0)
    if byte != b"!":
        raise Absent(last_words((bench.work / "errors").read_text(errors="replace")))
    return taken * 1e9


def memory(bench, name, kind):
    """Bytes of a monitor whose guest waits for input, without the guest's own memory: the peak, what is private, and what of
    that it has written to. Pages of a file are private only while no other process has the file mapped too."""
    with Client(bench, name, bench.counted("first-byte", 1), kind) as client:
        if client.receive() != b"!":
            raise Absent(client.why())
        process = Path("/proc") / str(client.child.pid)
        peak = int(re.search(r"^VmHWM:\s+(\d+) kB", (process / "status").read_text(), re.M).group(1))
        own, of_guest = mappings((process / "smaps").read_text(), monitors.MEBIBYTES << 20)
        client.send(b"\n")
        private = own["Private_Clean"] + own["Private_Dirty"]
        return [1024 * size for size in (peak - of_guest["Rss"], private, own["Private_Dirty"])]


def mappings(smaps, guest_size):
    """KiB by kind, of the mapping that has the guest's size and of all others: (others, guest's)."""
    sums = [dict.fromkeys(("Rss", "Private_Clean", "Private_Dirty"), 0) for _ in range(2)]
    is_guest = False
    for line in smaps.splitlines():
        key, value, *_ = line.split()
        if key.endswith(":"):
            if key[:-1] in sums[is_guest]:
                sums[is_guest][key[:-1]] += int(value)
        else:
            start, end = (int(word, 16) for word in key.split("-"))
            is_guest = end - start == guest_size
    return sums


def start_and_end(bench):
    near = [Target(1.3, "bare C")]
    everybody = ["asyncvm", "bare C", "QEMU"]
    # What CPUID costs at a start: a third of it, where the host is itself a guest.
    starting = ["asyncvm", "bare C", "bare C, CPUID", "QEMU"]
    for kind, words, subjects in (("listen", "it listens", starting), ("connect", "it connects", starting),
                                  ("stdio", "stdio", [*starting, "kvmtool"])):
        first, end = from_one_run(lambda name: life(bench, name, kind), subjects, 2)
        rounds = bench.rounds * 2
        yield measure(bench, Row(5, f"to the first byte, {words}", "ns", targets=list(near)), first, rounds)
        yield measure(bench, Row(5, f"to the end, {words}", "ns", targets=list(near)), end, rounds)
    subjects = {name: lambda name=name: pc_entered(bench, name) for name in PC}
    yield measure(bench, Row(5, "to the first byte, pc machine", "ns", targets=list(near)), subjects, rounds)
    peak, private, written = from_one_run(lambda name: memory(bench, name, "tcp"), everybody, 3)
    yield measure(bench, Row(5, "peak memory", "B"), peak, 3)
    yield measure(bench, Row(5, "private memory", "B", targets=[Target(4 << 20)]), private, 3)
    yield measure(bench, Row(5, "private memory, written to", "B"), written, 3)
