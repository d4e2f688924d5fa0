"""What Perfetto's importer asks of a trace, checked with protoc on traces of real guests.

perfetto_test.py PROGRAM GUESTS PROTO"""
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from collections import defaultdict
from pathlib import Path

PROTO = Path(sys.argv.pop())
GUESTS = Path(sys.argv.pop())
PROGRAM = sys.argv.pop()
BEGIN, END, INSTANT, COUNTER = 1, 2, 3, 4
CLEARED, NEEDS_STATE = 1, 2
BOOTTIME = 6
WITH_KVM = subprocess.run([PROGRAM, "--probe-lines"], capture_output=True, check=False).returncode == 0
ACCELERATORS = ["unicorn"] + (["kvm"] if WITH_KVM else [])


def parsed(lines):
    """protoc's text as a dictionary: a list for each field."""
    message = defaultdict(list)
    for line in lines:
        if line.endswith("{"):
            message[line[:-1].strip()].append(parsed(lines))
        elif line.strip() == "}":
            break
        else:
            name, value = line.strip().split(": ", 1)
            message[name].append(value[1:-1] if value[0] == '"' else value if value in ("true", "false") else int(value))
    return message


def one(message, name, default=None):
    values = message.get(name, [])
    assert len(values) < 2, (name, values)
    return values[0] if values else default


class Importer:
    """As Perfetto does it: what can't be resolved is a mistake."""

    def __init__(self, content):
        text = subprocess.run(["protoc", "--decode=Trace", f"-I{PROTO.parent}", PROTO.name], input=content, capture_output=True,
                              check=True)
        assert not text.stderr, text.stderr
        # Fields that the .proto does not have come as numbers.
        unknown = re.search(rb"^\s*\d+[:{ ]", text.stdout, re.M)
        assert not unknown, unknown.group()
        self.sequences, self.tracks, self.open = {}, {}, defaultdict(list)
        self.slices, self.instants, self.counters = defaultdict(list), defaultdict(list), defaultdict(list)
        self.flows, self.ended_flows, self.last, self.dropped = set(), set(), {}, 0
        for packet in parsed(iter(text.stdout.decode().splitlines()))["packet"]:
            self.take(packet)
        left = {self.tracks[track]["name"]: slices for track, slices in self.open.items() if slices}
        assert not left, left
        assert self.ended_flows <= self.flows, self.ended_flows - self.flows

    def take(self, packet):
        number = one(packet, "trusted_packet_sequence_id")
        assert number, "a packet without a sequence"
        flags = one(packet, "sequence_flags", 0)
        self.dropped += one(packet, "previous_packet_dropped") == "true"
        if flags & CLEARED:
            defaults = one(packet, "trace_packet_defaults")
            self.sequences[number] = {
                "clock": one(defaults, "timestamp_clock_id"), "track": one(one(defaults, "track_event_defaults"), "track_uuid"),
                "names": {}, "arguments": {}, "time": {}}
        sequence = self.sequences.get(number)
        assert sequence or not flags & NEEDS_STATE, "state that nobody has introduced"
        for clock in (one(packet, "clock_snapshot") or {}).get("clocks", []):
            if one(clock, "clock_id") >= 64:
                assert one(clock, "is_incremental") == "true"
                sequence["time"][one(clock, "clock_id")] = one(clock, "timestamp")
        for interned, table in (("event_names", "names"), ("debug_annotation_names", "arguments")):
            for entry in (one(packet, "interned_data") or {}).get(interned, []):
                assert one(entry, "iid") not in sequence[table]
                sequence[table][one(entry, "iid")] = one(entry, "name")
        descriptor = one(packet, "track_descriptor")
        if descriptor:
            parent = one(descriptor, "parent_uuid")
            assert parent is None or parent in self.tracks
            assert one(descriptor, "uuid") not in self.tracks
            self.tracks[one(descriptor, "uuid")] = {"name": one(descriptor, "name"), "counter": "counter" in descriptor}
        event = one(packet, "track_event")
        if event:
            assert flags & NEEDS_STATE
            clock = one(packet, "timestamp_clock_id", sequence["clock"])
            sequence["time"][clock] += one(packet, "timestamp")
            self.event(event, sequence, sequence["time"][clock], number)

    def event(self, event, sequence, time, number):
        uuid = one(event, "track_uuid", sequence["track"])
        track = self.tracks[uuid]
        kind = one(event, "type")
        assert time >= self.last.get((uuid, number), 0), "time goes back"
        self.last[uuid, number] = time
        assert track["counter"] == (kind == COUNTER)
        arguments = {}
        for annotation in event["debug_annotations"]:
            arguments[sequence["arguments"][one(annotation, "name_iid")]] = next(
                value[0] for name, value in annotation.items() if name != "name_iid" and value)
        self.flows.update(event["flow_ids"])
        self.ended_flows.update(event["terminating_flow_ids"])
        if kind == BEGIN:
            self.open[uuid].append((sequence["names"][one(event, "name_iid")], time, arguments))
        elif kind == END:
            name, begin, known = self.open[uuid].pop()
            self.slices[track["name"]].append((name, begin, time, known | arguments, len(self.open[uuid])))
        elif kind == INSTANT:
            self.instants[track["name"]].append((sequence["names"][one(event, "name_iid")], time, arguments))
        else:
            self.counters[track["name"]].append(one(event, "counter_value"))


@unittest.skipUnless(shutil.which("protoc"), "protoc (Debian: protobuf-compiler) is not here")
class Traces(unittest.TestCase):
    def trace(self, *arguments, typed=b""):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "trace"
            subprocess.run([PROGRAM, "--trace", path, *arguments], input=typed, capture_output=True, check=True)
            return path.read_bytes()

    def test_an_access_that_waits(self):
        for accelerator in ACCELERATORS:
            with self.subTest(accelerator):
                trace = Importer(self.trace("--accel", accelerator, GUESTS / "sleep.bin"))
                waits = [each for each in trace.slices["vCPU 0"] if each[0] == "waiting"]
                (access,) = [each for each in trace.slices["vCPU 0"] if each[0] == "sleep write"]
                self.assertTrue(all(wait[4] == 1 and access[1] <= wait[1] and wait[2] <= access[2] for wait in waits))
                self.assertTrue(waits)
                self.assertGreaterEqual(access[2] - access[1], 99_000_000)
                self.assertEqual((access[3]["port"], access[3]["size"]), (0xf2, 4))
                self.assertEqual([name for name, *_ in trace.instants["machine"]], ["run begins", "run ended", "trace ends"])

    def test_what_the_guest_prints_is_counted(self):
        for accelerator in ACCELERATORS:
            with self.subTest(accelerator):
                trace = Importer(self.trace("--accel", accelerator, "--serial", "null", GUESTS / "serial-hello.bin"))
                writes = [each for each in trace.slices["vCPU 0"] if each[0] == "uart16550 write" and each[3]["port"] == 0x3f8]
                self.assertEqual(trace.counters["serial0 output"][-1], len(writes))
                self.assertEqual(trace.counters["serial0 output"], sorted(trace.counters["serial0 output"]))
                self.assertNotIn("serial0 input", trace.counters)

    @unittest.skipUnless(WITH_KVM, "interrupts need KVM")
    def test_arrows_of_interrupts(self):
        trace = Importer(self.trace("--irqchip", "on", GUESTS / "irq-echo.bin", typed=b"hello\x04"))
        self.assertIn("IRQ 4 raised", [name for name, *_ in trace.instants["interrupts"]])
        self.assertTrue(trace.ended_flows)

    def test_names_that_are_no_utf8_do_no_harm(self):
        with tempfile.TemporaryDirectory() as directory:
            guest = Path(directory) / "g\udcff\n"
            guest.write_bytes(b"\xf4")
            Importer(self.trace("--accel", "unicorn", guest))

    def test_every_beginning_of_a_trace_is_a_trace(self):
        whole = self.trace("--accel", "unicorn", GUESTS / "debug-hello.bin")
        ends, at = [], 0
        while at < len(whole):
            size, shift, at = 0, 0, at + 1
            while True:
                size |= (whole[at] & 0x7F) << shift
                shift, at = shift + 7, at + 1
                if whole[at - 1] < 0x80:
                    break
            at += size
            ends.append(at)
        self.assertEqual(ends[-1], len(whole))
        self.assertGreater(len(ends), 20)


if __name__ == "__main__":
    unittest.main()
