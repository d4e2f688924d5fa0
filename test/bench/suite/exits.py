"""Cases 1, 2 and 3, and the vCPUs of case 6: exits, and what is between them and a device."""
import os
import re
import shutil
import subprocess

from .running import Absent, from_one_run, json_of, last_words, measure
from .stats import Row, Target, left_out

KINDS = {"OUT": 0, "IN": 1, "MMIO write": 2, "MMIO read": 3}
PORT = "0x20"


def each(result, count):
    """Nanoseconds an access."""
    return result["ns"] / count


def a_second(result, count):
    return count * 1e9 / result["ns"]


def round_trips(bench):
    # Short runs and many of them, on one core: what else happens on the host then touches both alike.
    count = bench.counts.round_trips
    rounds = bench.rounds * (3 if bench.counts.instructions else 6)
    one = {max(os.sched_getaffinity(0))}
    for name, kind in KINDS.items():
        commands = {
            "asyncvm": [bench.program("inside"), "exits", bench.guest("exits"), kind, count],
            "bare C": [bench.program("bare-exits"), bench.guest("exits"), kind, count, PORT],
            "bare C, alike": [bench.program("bare-exits"), bench.guest("exits"), kind, count, PORT, 1, "alike"],
        }

        def both(name):
            result = json_of(*commands[name], cpus=one)
            return result["ns"] / count, result["processor_ns"] / count

        elapsed, processor = from_one_run(both, commands, 2)
        target = [Target(1.02, "bare C")]
        yield measure(bench, Row(1, name, "ns", targets=list(target)), elapsed, rounds)
        yield measure(bench, Row(1, f"{name}, processor time", "ns", targets=list(target)), processor, rounds)
    yield from our_share(bench)


def our_share(bench):
    """What needs no KVM."""
    fakes = bench.counts.fakes
    targets = [] if bench.counts.instructions else [Target(100)]
    for name, kind in KINDS.items():
        yield measure(bench, Row(1, f"{name}, our share", "ns", targets=list(targets)), {
            "asyncvm": lambda: each(json_of(bench.program("inside"), "fake", bench.guest("exits"), kind, fakes), fakes),
        }, bench.rounds * 3)
    for name, kind in KINDS.items():
        if bench.counts.instructions:
            yield left_out(1, f"{name}, our instructions", "instr", "a nanosecond is one: see our share")
            continue
        row = Row(1, f"{name}, our instructions", "instr", optional=True)
        yield measure(bench, row, {"asyncvm": lambda: instructions(bench, kind)}, 1)


def instructions(bench, kind):
    """In user space for an access: what 10,000 more of them take under valgrind."""
    few, more = 1_000, 11_000
    return (collected(bench, kind, more) - collected(bench, kind, few)) / (more - few)


def collected(bench, kind, count):
    if not shutil.which("valgrind"):
        raise Absent("valgrind is not installed")
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", bench.program("inside"), "fake",
         bench.guest("exits"), str(kind), str(count)], capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        raise Absent(last_words(done.stderr))
    return int(found.group(1))


def hand_overs(bench):
    count = bench.counts.hand_overs
    processors = os.sched_getaffinity(0)
    for cpus, where in ((None, ""), ({min(processors)}, ", one core")):
        for wait, name, extra in (("nothing", "answered at once", []), ("timer", "expired timer", []),
                                  ("socket", "ready socket", ["socket"]), ("asio-timer", "expired timer of Asio's", [])):
            if cpus == processors:
                yield left_out(2, name + where, "ns", "there is no other core")
                continue
            targets = [] if wait == "asio-timer" else [Target(1.2, "futex")]
            yield measure(bench, Row(2, name + where, "ns", targets=targets), {
                "asyncvm": lambda: each(json_of(bench.program("inside"), "wait", bench.guest("exits"), count, wait,
                                                cpus=cpus), count),
                "futex": lambda: each(json_of(bench.program("bare-hand_over"), bench.guest("exits"), count, PORT, *extra,
                                              cpus=cpus), count),
            })
    yield from other_process(bench)


def other_process(bench):
    count = bench.counts.hand_overs
    processors = os.sched_getaffinity(0)
    for cpus, where in ((None, ""), ({min(processors)}, ", one core")):
        if cpus == processors:
            yield left_out(2, "another process" + where, "ns", "there is no other core")
            continue
        yield measure(bench, Row(2, "another process" + where, "ns", targets=[Target(1.5, "bare C, socket")]), {
            "asyncvm": lambda: each(json_of(bench.program("inside"), "remote", bench.guest("exits"), count,
                                            f"exec {bench.program('bare-remote')} device", cpus=cpus), count),
            "bare C, socket": lambda: each(json_of(bench.program("bare-remote"), bench.guest("exits"), count, PORT, cpus=cpus),
                                           count),
        })


def posted_writes(bench):
    count = bench.counts.writes
    few = count // 4  # of an exit's time a quarter is enough

    def bare(how_many, *way):
        return a_second(json_of(bench.program("bare-exits"), bench.guest("exits"), 0, how_many, PORT, *way), how_many)

    for device, name in (("counter", "counter port"), ("debugcon", "debug console"), ("uart16550", "UART, data"),
                         ("post", "POST port")):
        yield measure(bench, Row(3, name, "/s", True, targets=[Target(8, "bare C")]), {
            "asyncvm": lambda: a_second(json_of(bench.program("inside"), "writes", bench.guest("exits"), count, device), count),
            "bare C": lambda: bare(few),
            "bare C, coalesced": lambda: bare(count, 1, "coalesced"),
        }, max(3, bench.rounds // 2))


def vcpus(bench):
    count = bench.counts.of_each_vcpu
    for way in ("own", "shared"):
        for cpus in (1, 2, 4, 8):
            if cpus == 1 and way == "shared":
                continue

            def rate(program, *words):
                return a_second(json_of(bench.program(program), *words), count * cpus)

            name = f"{cpus} vCPU{'s' if cpus > 1 else ''}, {'a device each' if way == 'own' else 'one device'}"
            yield measure(bench, Row(6, name, "/s", True), {
                "asyncvm": lambda: rate("inside", "exits", bench.guest("exits"), 0, count, cpus, way),
                "bare C": lambda: rate("bare-exits", bench.guest("exits"), 0, count, PORT, cpus, way),
            })
