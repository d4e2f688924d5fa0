"""Case 6: many small machines in one process."""
from .counts import FULL
from .exits import vcpus
from .running import Absent, json_of, measure
from .stats import Row, left_out

IDLE = 3_600_000_000  # microseconds: longer than anybody watches
NOW_AND_THEN = 100_000


def many_machines(bench):
    window = bench.counts.window
    rounds = max(3, bench.rounds // 3)
    for count in bench.counts.machines:
        plural = "machines" if count > 1 else "machine"
        idle = {"asyncvm": [], "bare C": []}

        def run(name, period):
            program = {"asyncvm": "inside", "bare C": "bare-many"}[name]
            words = ["many"] if name == "asyncvm" else []
            return json_of(bench.program(program), *words, bench.guest("now-and-then"), count, period, window)

        def first(name):
            def to_heard():
                idle[name].append(run(name, IDLE))
                return idle[name][-1]["heard_ns"] / count
            return to_heard

        def rest(name, key, share):
            results = iter(idle[name])

            def take():
                result = next(results, None)
                if result is None:
                    raise Absent("see the row before")
                return result[key] / share
            return take

        def a_line(name):
            result = run(name, NOW_AND_THEN)
            return result["processor_ns"] / max(result["lines"], 1)

        yield measure(bench, Row(6, f"{count} {plural}: until heard, each", "ns"), {name: first(name) for name in idle}, rounds)
        yield measure(bench, Row(6, f"{count} {plural}: to make, each", "ns"),
                      {name: rest(name, "made_ns", count) for name in idle}, rounds)
        yield measure(bench, Row(6, f"{count} {plural}: memory, each", "B"),
                      {name: rest(name, "memory", count) for name in idle}, rounds)
        yield measure(bench, Row(6, f"{count} {plural}: idle, processor a second", "ns", no_ratio=True),
                      {name: rest(name, "processor_ns", window / 1000) for name in idle}, rounds)
        yield measure(bench, Row(6, f"{count} {plural}: processor a line", "ns"),
                      {name: lambda name=name: a_line(name) for name in idle}, rounds)
    for count in FULL.machines:
        if count not in bench.counts.machines:
            yield left_out(6, f"{count} machines", "ns", f"at most {max(bench.counts.machines)} are measured here")


def scale(bench):
    yield from vcpus(bench)
    yield from many_machines(bench)
