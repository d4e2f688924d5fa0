"""asyncvm-device finds each fault that a device has, and says how it was used wrongly.

checker_test.py CHECKER CLIENTS"""
import os
import re
import subprocess
import sys
import unittest

CLIENTS = os.environ["DEVICE_CLIENTS"] = sys.argv.pop()
CHECKER = sys.argv.pop()
sys.dont_write_bytecode = True
import faulty  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


def check(*arguments, fault=""):
    # A short patience: some faults are answers that never come.
    return subprocess.run([sys.executable, CHECKER, "check", *arguments], text=True, capture_output=True, stdin=subprocess.DEVNULL,
                          env={**os.environ, "FAULT": fault, "DEVICE_PATIENCE": "3"})


class Faults(unittest.TestCase):
    def test_each_is_found(self):
        for fault, (text, _) in faulty.FAULTS.items():
            with self.subTest(fault):
                done = check("--only", re.escape(text), "--", sys.executable, os.path.join(HERE, "faulty.py"), fault=fault)
                self.assertEqual(1, done.returncode, done.stdout + done.stderr)
                self.assertRegex(done.stdout, f"(?m)^not ok 1 - .*{text}.*\n# .", done.stderr)


@unittest.skipUnless("ASYNCVM" in os.environ, "ASYNCVM is not set")
class Guest(unittest.TestCase):
    def check(self, *command, fault=""):
        return check("--only", "LOG", "--asyncvm", os.environ["ASYNCVM"], "--guest", os.environ["CONFORMANCE_GUEST"], "--", *command,
                     fault=fault)

    def test_the_same_device_under_the_real_program(self):
        done = self.check(sys.executable, os.path.join(CLIENTS, "conformance.py"))
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertRegex(done.stdout, "(?m)^ok 2 - guest: scratch|# SKIP .*/dev/kvm", done.stderr)

    def test_a_fault_that_the_guest_finds(self):
        done = self.check(sys.executable, os.path.join(HERE, "faulty.py"), fault="big endian")
        self.assertRegex(done.stdout, "(?m)^not ok 2 - guest: scratch|# SKIP .*/dev/kvm", done.stderr)

    def test_an_image_that_is_not_there(self):
        done = check("--only", "LOG", "--guest", "/nowhere/guest", "--", sys.executable, os.path.join(CLIENTS, "conformance.py"))
        self.assertIn("# SKIP", done.stdout)
        self.assertEqual(0, done.returncode)


class Usage(unittest.TestCase):
    def test_wrong_options(self):
        for arguments, says in (([], "say where the device is"), (["--connect", "x"], "'x' is no address"),
                                (["--connect", "unix:x", "--", "y"], "say where the device is"), (["--nonsense"], "unrecognized")):
            done = check(*arguments)
            self.assertEqual(64, done.returncode, done.stderr)
            self.assertIn(says, done.stderr)

    def test_there_is_no_device(self):
        for arguments, says in ((["--", "/nowhere/device"], "cannot start /nowhere/device"),
                                (["--connect", "unix:/nowhere/socket"], "no device is at unix:/nowhere/socket"),
                                (["--listen", "unix:/nowhere/socket"], "cannot listen on unix:/nowhere/socket")):
            done = check(*arguments)
            self.assertEqual(72, done.returncode, done.stderr)
            self.assertIn(says, done.stderr)

    def test_a_program_that_says_nothing(self):
        done = check("--", "true")
        self.assertEqual(1, done.returncode)
        self.assertIn("Bail out!", done.stdout)

    def test_help_has_examples(self):
        done = check("--help")
        self.assertEqual(0, done.returncode)
        self.assertIn("asyncvm-device check -- ./device.py", done.stdout)


if __name__ == "__main__":
    unittest.main()
