"""A client's conformance device passes the checker: started by it, between pipes, listening, calling.

clients_test.py CHECKER [INTERPRETER] DEVICE"""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

CHECKER, *DEVICE = sys.argv[1:]
del sys.argv[1:]
SOME = "scratch|strings|memory|pieces|reset|posted|end"  # of the checks: what the way to the device may change
HERE = os.path.dirname(os.path.abspath(__file__))


class Client(unittest.TestCase):
    def check(self, *arguments, device=None):
        """All checks (or those that are named) pass; what the device says is in what a failure shows."""
        done = subprocess.run([sys.executable, CHECKER, "check", "--no-guest", *arguments], text=True, capture_output=True,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr + (device.said() if device else ""))
        self.assertRegex(done.stdout, "(?m)^# [1-9][0-9]* ok, 0 failed, 0 skipped$")
        self.assertNotRegex(done.stderr, "Traceback|Sanitizer|runtime error|    at ")  # the device's own code does not fail
        return done

    def test_started_by_the_monitor(self):
        self.assertNotIn("SKIP", self.check("--", *DEVICE).stdout)

    def test_between_two_pipes(self):
        self.check("--only", SOME, "--", sys.executable, os.path.join(HERE, "pipes.py"), *DEVICE)

    def test_listening_on_a_unix_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            place = f"unix:{folder}/socket"
            for seed in ("2", "3"):  # the second finds the first one's socket
                with Running(f"listen:{place}") as device:
                    self.assertEqual(place, device.place())
                    self.check("--connect", place, "--seed", seed, device=device)

    def test_listening_on_tcp(self):
        with Running(f"listen:tcp:127.0.0.1:{free_port()}") as device:
            self.check("--connect", device.place(), "--only", SOME, device=device)

    def test_calling(self):
        with tempfile.TemporaryDirectory() as folder:
            for place in (f"unix:{folder}/socket", f"tcp:127.0.0.1:{free_port()}"):
                # It calls before anybody listens.
                with Running(place) as device:
                    self.check("--listen", place, "--only", "scratch: 1", device=device)
                    self.assertEqual(0, device.process.wait(60))

    def test_wrong_use(self):
        for arguments, code, says in ((["x:y"], 64, "is no address"), ([], 64, "exec="), (["unix:a", "unix:b"], 64, "exec="),
                                      (["listen:unix:/nowhere/socket"], 72, "/nowhere/socket")):
            with open(os.devnull) as nothing:
                done = subprocess.run([*DEVICE, *arguments], stdin=nothing, text=True, capture_output=True)
            self.assertEqual(code, done.returncode, done.stderr)
            self.assertIn(says, done.stderr)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Running:
    """The device's program, with an address."""

    def __init__(self, address):
        self.process = subprocess.Popen([*DEVICE, address], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True, errors="replace")
        self.lines = []
        self.heard = threading.Condition()
        self.reader = threading.Thread(target=self.listen)
        self.reader.start()

    def listen(self):
        """All that it says, so that the pipe does not fill up."""
        for line in self.process.stderr:
            with self.heard:
                self.lines.append(line)
                self.heard.notify_all()
        with self.heard:
            self.lines.append(None)
            self.heard.notify_all()

    def __enter__(self):
        return self

    def said(self):
        with self.heard:
            return "".join(line for line in self.lines if line is not None)

    def place(self):
        """Where it listens, once it does."""
        with self.heard:
            self.heard.wait_for(lambda: None in self.lines or any("listens on" in line for line in self.lines))
        found = re.search(r"listens on (\S+)", self.said())
        if found is None:
            raise AssertionError(self.said())
        return found[1]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        return self.said()

    def __exit__(self, *_):
        self.stop()
        self.process.stderr.close()


if __name__ == "__main__":
    if not shutil.which(DEVICE[0]):
        print(f"SKIP: there is no {DEVICE[0]}")
        sys.exit(77)
    unittest.main()
