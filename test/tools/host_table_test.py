"""tools/host-table: every test on every host, and tests that ran on none."""
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TABLE = Path(__file__).parents[2] / "tools" / "host-table"

GUEST = """Entering test module "features"
a.cpp(1): Entering test suite "guests"
a.cpp(2): Entering test case "plain"
a.cpp(2): Leaving test case "plain"; testing time: 48us
a.cpp(3): Test case "guests/paging" is skipped because precondition failed: needs paging (this host: shut down)
a.cpp(1): Leaving test suite "guests"; testing time: 8us
"""
LANE = """ok 1 - features/guests/plain
{} 2 - features/guests/paging
1..2
"""
SKIPPED_LANE = "SKIP: qemu-system-x86_64 is not installed\n"


def record(name, result, stdout):
    return json.dumps({"name": name, "result": result, "stdout": stdout, "stderr": "", "returncode": 0})


class Table(unittest.TestCase):
    def run_table(self, here, without_kvm=None):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, str(TABLE), f"{folder}/here"]
            Path(folder, "here").write_text("\n".join(here))
            if without_kvm:
                Path(folder, "no").write_text("\n".join(without_kvm))
                command += ["--without-kvm", f"{folder}/no"]
            return subprocess.run(command, capture_output=True, text=True)

    def test_a_case_that_another_host_runs_is_well(self):
        ended = self.run_table([record("features", "OK", GUEST), record("nested-npt", "OK", LANE.format("ok"))])
        self.assertEqual(0, ended.returncode, ended.stderr)
        self.assertRegex(ended.stdout, r"features +1 run, 1 skipped +2 run")
        self.assertIn("skipped on this host: features/guests/paging: needs paging (this host: shut down)", ended.stdout)

    def test_a_case_that_ran_nowhere_fails(self):
        ended = self.run_table([record("features", "OK", GUEST), record("nested-npt", "SKIP", SKIPPED_LANE)])
        self.assertEqual(1, ended.returncode)
        self.assertIn("ran on no host: features/guests/paging", ended.stdout)
        self.assertIn("no tests on kvm-amd, npt: qemu-system-x86_64 is not installed", ended.stdout)

    def test_a_program_that_is_skipped_as_a_whole_skips_its_cases(self):
        here = [record("features", "OK", GUEST), record("nested-shadow", "OK", LANE.format("ok"))]
        ended = self.run_table(here, [record("features", "SKIP", "Running 2 test cases...\nSKIP: no /dev/kvm\n")])
        self.assertEqual(0, ended.returncode, ended.stdout)
        self.assertRegex(ended.stdout, r"features +1 run, 1 skipped +2 run +2 skipped")
        self.assertIn("skipped on without KVM: 2 cases: no /dev/kvm", ended.stdout)

    def test_a_failure_in_a_lane_shows(self):
        ended = self.run_table([record("features", "OK", GUEST), record("nested-npt", "FAIL", LANE.format("not ok"))])
        self.assertRegex(ended.stdout, r"2 run, 1 failed")


if __name__ == "__main__":
    unittest.main()
