"""Running the programs of a benchmark, round by round."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .counts import Counts


class Absent(Exception):
    """A subject that can't be measured here; why is the text."""


class Failed(Exception):
    """Nothing more can be measured; why is the text."""


@dataclass
class Bench:
    """What the cases need to know."""
    build: Path        # build directory
    work: Path         # for files of this run
    counts: Counts
    rounds: int
    kvmtool: str | None
    qemu: str | None

    def program(self, name):
        return str(self.build / "test" / "bench" / name)

    def guest(self, name):
        return str(self.build / "test" / "bench" / f"{name}.bin")

    def counted(self, name, *counts):
        """A guest with numbers from offset 4 on, and those numbers."""
        path = self.work / f"{name}-{'-'.join(map(str, counts))}.bin"
        if not path.exists():
            image = bytearray(Path(self.guest(name)).read_bytes())
            for at, count in enumerate(counts, 1):
                image[4 * at:4 * at + 4] = count.to_bytes(4, "little")
            path.write_bytes(image)
        return str(path)

    @property
    def asyncvm(self):
        return str(self.build / "asyncvm")


def last_words(text):
    """Why a program failed, in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "fatal" in line.lower()]
    return (errors or lines or ["no reason given"])[-1 if not errors else 0][:150]


def json_of(*command, cpus=None):
    """Runs a program that prints one line of JSON. `cpus`: only on these processors."""
    pin = (lambda: os.sched_setaffinity(0, cpus)) if cpus else None
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, preexec_fn=pin)
    except subprocess.TimeoutExpired:
        raise Absent("no end within 300 s") from None
    if done.returncode != 0:
        raise Absent(last_words(done.stderr))
    return json.loads(done.stdout)


def measure(bench, row, subjects, rounds=None):
    """Fills `row` from functions by subject that return a value or raise Absent. In each second round the order is turned
    round, so that what changes in time touches all alike."""
    print(f"  {row.name}", end="", file=sys.stderr, flush=True)
    row.samples = {name: [] for name in subjects}
    for turn in range(rounds or bench.rounds):
        names = [name for name in subjects if name not in row.absent]
        for name in names if turn % 2 == 0 else reversed(names):
            try:
                row.samples[name].append(subjects[name]())
            except Absent as reason:
                row.absent[name] = str(reason)
                row.samples[name] = []
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return row


def from_one_run(function, subjects, count):
    """For a function of a subject that measures `count` things in one run: the functions of as many rows, to be measured one
    after the other. The first runs it, the others take what it has left."""
    left = {name: [[] for _ in range(count)] for name in subjects}

    def first(name):
        def run():
            value, *others = function(name)
            for place, other in enumerate(others, 1):
                left[name][place].append(other)
            return value
        return run

    def later(name, place):
        def take():
            if not left[name][place]:
                raise Absent("see the row before")
            return left[name][place].pop(0)
        return take
    return [{name: later(name, place) if place else first(name) for name in subjects} for place in range(count)]


def workspace():
    return tempfile.TemporaryDirectory(prefix="asyncvm-bench-")


def find_kvmtool():
    return shutil.which("lkvm") or shutil.which("kvmtool")
