"""Case 8: requests a second of a virtio disk, whose file is in the page cache."""
import time

from .running import Absent, measure
from .serial import Client
from .stats import Row, Target

MEBIBYTES = 64  # as guests/disk-read.S has it


def image(bench):
    """A file without holes, which has just been written."""
    path = bench.work / "disk"
    if not path.exists():
        path.write_bytes(b"asyncvm " * (MEBIBYTES << 17))
    return str(path)


def read_rate(bench, name, depth):
    """Requests a second, each of 4 KiB, `depth` at a time."""
    count = bench.counts.disk_reads
    with Client(bench, name, bench.counted("disk-read", count, depth), "tcp", disk=image(bench)) as client:
        if client.receive() != b"<":
            raise Absent(client.why())
        start = time.perf_counter()
        if (last := client.receive()) != b">":
            raise Absent("the guest has found no disk, or an error" if last else client.why())
        return count / (time.perf_counter() - start)


def disks(bench):
    rounds = max(3, bench.rounds // 2)
    for depth, factor in ((1, 2), (32, 1.5)):
        subjects = {name: lambda name=name: read_rate(bench, name, depth) for name in ("asyncvm", "QEMU")}
        row = Row(8, f"reads of 4 KiB at random, {depth} at a time", "/s", True, [Target(factor, "QEMU")])
        yield measure(bench, row, subjects, rounds)
