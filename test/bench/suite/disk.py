"""Case 8: requests a second of a virtio disk, whose file is in the page cache."""
import time

from .running import Absent, from_one_run, measure
from .serial import Client
from .stats import Row, Target

MEBIBYTES = 64  # as guests/disk-read.S has it


def image(bench):
    """A file without holes, which has just been written."""
    path = bench.work / "disk"
    if not path.exists():
        path.write_bytes(b"asyncvm " * (MEBIBYTES << 17))
    return str(path)


def reads(bench, name, depth):
    """Requests a second, each of 4 KiB, `depth` at a time, and the guest's notifications for each."""
    count = bench.counts.disk_reads
    with Client(bench, name, bench.counted("disk-read", count, depth), "tcp", disk=image(bench)) as client:
        if client.receive() != b"<":
            raise Absent(client.why())
        start = time.perf_counter()
        answer = client.receive()
        rate = count / (time.perf_counter() - start)
        if answer[:1] != b">":
            raise Absent("the guest has found no disk, or an error" if answer else client.why())
        while len(answer) < 5:
            if not (more := client.receive()):
                raise Absent(client.why())
            answer += more
        return rate, int.from_bytes(answer[1:5], "little") / count


def disks(bench):
    rounds = max(3, bench.rounds // 2)
    for depth, factor in ((1, 2), (32, 1.5)):
        name = f"reads of 4 KiB at random, {depth} at a time"
        exits = [Target(0.13)] if depth > 1 else []
        rows = [Row(8, name, "/s", True, [Target(factor, "QEMU")]),
                Row(8, f"notifications a request, {depth} at a time", "exits", False, exits, no_ratio=True)]
        subjects = from_one_run(lambda name, depth=depth: reads(bench, name, depth), ("asyncvm", "QEMU"), len(rows))
        for row, functions in zip(rows, subjects):
            yield measure(bench, row, functions, rounds)
