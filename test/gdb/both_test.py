"""A debugger and the control socket at one machine: there is one state of being stopped, whoever has made it."""
import contextlib
import json
import os
import socket
import tempfile

from debugger import PATIENCE, SPIN_32, Case, Machine, main

# lidt [empty]; ud2
TRIPLE_FAULT = b"\x0f\x01\x1d\x0a\x00\x01\x00\x0f\x0b\xf4" + b"\x00" * 6


class Control:
    """A client of the control socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.lines = self.socket.makefile()
        self.events = []
        self.lines.readline()
        self.ask("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()

    def read(self):
        message = json.loads(self.lines.readline())
        if "event" in message:
            self.events.append(message["event"])
        return message

    def ask(self, command):
        self.socket.sendall(json.dumps({"execute": command}).encode())
        while "event" in (message := self.read()):
            pass
        return message["return"]

    def status(self):
        return self.ask("query-status")["status"]

    def wait_for(self, *events):
        """Exactly these come next, or have come since the last look."""
        while len(self.events) < len(events):
            self.read()
        seen, self.events = self.events, []
        if seen != list(events):
            raise AssertionError(f"{seen} instead of {events}")


class Both(Case):
    @contextlib.contextmanager
    def machine(self, code=SPIN_32, *options, gdb=""):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "control")
            with Machine(code, "--mode", "32", "--control", f"unix:{path}", *options, gdb=gdb) as machine:
                with Control(path) as control:
                    yield machine, control

    def test_what_gdb_stops_is_told(self):
        with self.machine() as (machine, control), machine.client() as gdb:
            self.assertEqual("running", control.status())
            gdb.ask("?")
            self.assertEqual("paused", control.status())
            control.wait_for("STOP")
            gdb.send("c")
            control.wait_for("RESUME")
            self.assertEqual("running", control.status())
            gdb.socket.sendall(b"\x03")
            self.assertTrue(gdb.receive().startswith("T02"))
            self.assertEqual("paused", control.status())
            self.assertTrue(gdb.ask("s").startswith("T05"))
            self.assertEqual("debug", control.status())
            control.wait_for("STOP", "RESUME", "STOP")
            gdb.ask("D")
            control.wait_for("RESUME")
            self.assertEqual("running", control.status())

    def test_a_stop_of_the_control_socket_is_one_for_gdb(self):
        with self.machine() as (machine, control), machine.client() as gdb:
            gdb.ask("?")
            gdb.send("c")
            control.wait_for("STOP", "RESUME")
            control.ask("stop")
            self.assertEqual("paused", control.status())
            self.assertTrue(gdb.receive().startswith("T02"))
            first = gdb.ask("g")
            self.assertEqual(first, gdb.ask("g"))
            # It goes on although nobody has said cont.
            gdb.send("c")
            control.wait_for("STOP", "RESUME")
            self.assertEqual("running", control.status())

    def test_cont_lets_a_guest_go_on_that_gdb_holds_and_the_next_packet_stops_it(self):
        with self.machine() as (machine, control), machine.client() as gdb:
            gdb.ask("?")
            # The counter.
            before = gdb.ask("g")[:8]
            control.ask("cont")
            self.assertEqual("running", control.status())
            control.wait_for("STOP", "RESUME")
            seen = set()
            while len(seen | {before}) < 2:
                seen.add(gdb.ask("g")[:8])
                control.wait_for("STOP")
                self.assertEqual("paused", control.status())
                control.ask("cont")
                control.wait_for("RESUME")
            gdb.ask("g")
            gdb.send("c")
            control.wait_for("STOP", "RESUME")

    def test_a_guest_that_went_on_without_gdb_stops_at_its_breakpoint(self):
        with self.machine() as (machine, control), machine.client() as gdb:
            gdb.ask("?")
            self.assertEqual("OK", gdb.ask("Z1,10008,1"))
            control.ask("cont")
            control.wait_for("STOP", "RESUME", "STOP")
            self.assertEqual("debug", control.status())

    def test_stop_and_cont_one_after_the_other_leave_a_guest_that_runs(self):
        with self.machine() as (machine, control), machine.client() as gdb:
            gdb.ask("?")
            gdb.send("c")
            control.wait_for("STOP", "RESUME")
            for _ in range(20):
                control.ask("stop")
                control.ask("cont")
                self.assertEqual("running", control.status())
                control.wait_for("STOP", "RESUME")
                self.assertTrue(gdb.receive().startswith("T02"))
                gdb.send("c")
                # The packet stops it first.
                control.wait_for("STOP", "RESUME")

    def test_a_guest_that_waits_for_gdb_can_be_started_by_either(self):
        for start in (lambda control, gdb: control.ask("cont"), lambda control, gdb: gdb.send("c")):
            with self.machine(gdb=",wait") as (machine, control):
                self.assertEqual("prelaunch", control.status())
                with machine.client() as gdb:
                    gdb.ask("?")
                    self.assertEqual("prelaunch", control.status())
                    start(control, gdb)
                    control.wait_for("RESUME")
                    self.assertEqual("running", control.status())
        with self.machine(gdb=",wait") as (machine, control):
            control.ask("cont")
            control.wait_for("RESUME")
            self.assertEqual("running", control.status())

    def test_a_crash_that_stays_for_gdb(self):
        with self.machine(TRIPLE_FAULT, gdb=",wait") as (machine, control), machine.client() as gdb:
            gdb.ask("?")
            self.assertTrue(gdb.ask("c").startswith("T0b"))
            self.assertEqual("debug", control.status())
            control.wait_for("RESUME", "STOP")
            gdb.send("c")
            control.wait_for("RESUME", "CRASH", "SHUTDOWN")
            self.assertEqual(80, machine.ended()[0])


if __name__ == "__main__":
    main()
