"""What a timeline shows of a debugger."""
import json
import signal
import tempfile
from pathlib import Path

from debugger import SPIN_32, Case, Machine, main

LOOP = 0x10008


class Traces(Case):
    def test_stops_with_their_reasons_and_when_the_guest_goes_on(self):
        with tempfile.TemporaryDirectory() as directory:
            trace = Path(directory) / "run.json"
            self.debug_with(trace)
            events = json.loads(trace.read_text("ascii"))
        machines = [event["tid"] for event in events if event.get("name") == "thread_name" and event["args"]["name"] == "machine"]
        told = [(event["name"], event.get("args")) for event in events
                if event["ph"] == "i" and event["tid"] == machines[0] and "debugger" in event["name"]]
        stopped, released = "stopped by the debugger", ("released by the debugger", None)
        self.assertEqual([(stopped, {"reason": "asked for"}), released,
                          (stopped, {"reason": "step", "vCPU": 0}), released,
                          (stopped, {"reason": "breakpoint", "vCPU": 0, "address": hex(LOOP)}), released,
                          (stopped, {"reason": "asked for"}), released], told)

    def debug_with(self, trace):
        with Machine(SPIN_32, "--mode", "32", "--trace", str(trace), gdb=",wait") as machine:
            with machine.client() as client:
                self.assertTrue(client.ask("?").startswith("T05"))
                self.assertTrue(client.ask("vCont;s:1").startswith("T05"))
                self.assertEqual("OK", client.ask(f"Z0,{LOOP:x},1"))
                self.assertTrue(client.ask("vCont;c").startswith("T05"))
                self.assertEqual("OK", client.ask(f"z0,{LOOP:x},1"))
                client.send("vCont;c")
                client.socket.sendall(b"\x03")
                self.assertTrue(client.receive().startswith("T02"))
                self.assertEqual("OK", client.ask("D"))
            machine.process.send_signal(signal.SIGTERM)
            self.assertEqual(128 + signal.SIGTERM, machine.ended()[0])


if __name__ == "__main__":
    main(needs_gdb=False)
