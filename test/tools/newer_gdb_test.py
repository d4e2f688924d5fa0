"""tools/newer-gdb: what it refuses. To fetch takes a mirror."""
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "newer-gdb"


def newer_gdb(*words, **environment):
    return subprocess.run([SCRIPT, *words], capture_output=True, text=True, env={**os.environ, **environment})


class NewerGdb(unittest.TestCase):
    def test_usage(self):
        for words in ((), ("--help",), ("a", "b", "c")):
            done = newer_gdb(*words)
            self.assertEqual(2, done.returncode)
            self.assertTrue(done.stderr.startswith("tools/newer-gdb DIR [SUITE]: "), done.stderr)
            self.assertNotIn("set -eu", done.stderr)

    def test_a_directory_with_something_in_it(self):
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "apt"
            file.write_text("mine")
            done = newer_gdb(directory)
            self.assertEqual((2, f"newer-gdb: {directory} is not empty\n", "mine"), (done.returncode, done.stderr, file.read_text()))

    def test_a_host_without_a_mirror(self):
        with tempfile.TemporaryDirectory() as directory:
            apt = Path(directory) / "apt-get"
            apt.write_text("#!/bin/sh\nexit 0\n")
            apt.chmod(0o755)
            done = newer_gdb(directory + "/new", PATH=f"{directory}:{os.environ['PATH']}")
            self.assertEqual((1, "newer-gdb: apt knows no Debian mirror here (apt-get update)\n"), (done.returncode, done.stderr))


if __name__ == "__main__":
    unittest.main()
