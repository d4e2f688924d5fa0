"""tools/check counts what Boost.Test and Meson report: the records below are what they write."""
import importlib.util
import re
import sys
import unittest
from pathlib import Path

spec = importlib.util.spec_from_file_location("check", Path(__file__).parents[2] / "tools" / "check.py")
check = importlib.util.module_from_spec(spec)
sys.modules["check"] = check
spec.loader.exec_module(check)

OUT = """Running 5 test cases...
Entering test module "x"
a.cpp(7): Entering test case "good"
a.cpp(7): Leaving test case "good"; testing time: 48us
a.cpp(8): Entering test case "found_out"
SKIP: no netcat
SKIP: said twice
a.cpp(8): Leaving test case "found_out"; testing time: 38us
a.cpp(11): Test case "s/left_out" is skipped because precondition failed: no unicorn
a.cpp(12): Test case "s/off" is skipped because disabled
"""
ERR = """
Test module "x" has {} with:
  {} test cases out of 7 passed
  1 test case out of 7 passed with warnings
{}  2 test cases out of 7 skipped
  1 assertion out of 3 passed
"""


def record(result, stdout="", stderr=""):
    return {"name": "x", "result": result, "stdout": stdout, "stderr": stderr, "returncode": 0, "command": ["x"]}


class Counting(unittest.TestCase):
    def counted(self, *arguments):
        tally = check.count(record(*arguments))
        return tally.passed, tally.failed, tally.skipped

    def test_cases_that_passed_and_cases_that_were_left_out(self):
        tally = check.count(record("OK", OUT, ERR.format("passed", 4, "")))
        self.assertEqual((4, 0, 3), (tally.passed, tally.failed, tally.skipped))
        self.assertEqual([("x", "found_out", "no netcat"), ("x", "s/left_out", "no unicorn"), ("x", "s/off", "disabled")],
                         tally.reasons)

    def test_cases_that_failed(self):
        failed = "  2 test cases out of 7 failed\n  1 test case out of 7 aborted\n"
        self.assertEqual((2, 2, 3), self.counted("FAIL", OUT, ERR.format("failed", 2, failed)))

    def test_a_program_that_is_skipped_counts_its_cases(self):
        self.assertEqual((0, 0, 6), self.counted("SKIP", "Running 6 test cases...\nSKIP: no usable /dev/kvm\n"))

    def test_a_script_is_one_case(self):
        self.assertEqual((1, 0, 0), self.counted("OK"))
        self.assertEqual((0, 1, 0), self.counted("FAIL"))
        self.assertEqual((0, 1, 0), self.counted("TIMEOUT"))
        self.assertEqual((0, 0, 1), self.counted("SKIP", "SKIP: no netcat\n"))

    def test_a_test_that_reports_inner_tests_counts_them(self):
        inner = "ok 1 - a/x\nok 2 - a/y # SKIP no paging\nnot ok 3 - b\n# b said\n1..3\n"
        tally = check.count(record("FAIL", inner))
        self.assertEqual((1, 1, 1), (tally.passed, tally.failed, tally.skipped))
        self.assertEqual([("x", "a/y", "no paging")], tally.reasons)

    def test_a_failure_is_never_lost(self):
        """Every case passed, and then the program crashed or a sanitizer complained."""
        self.assertEqual((4, 1, 3), self.counted("FAIL", OUT, ERR.format("passed", 4, "")))

    def test_a_skip_without_a_reason_says_so(self):
        self.assertEqual([("x", "", "no reason given")], check.count(record("SKIP")).reasons)


class LeftOut(unittest.TestCase):
    def test_every_suite_that_is_left_out_somewhere_exists_and_runs_somewhere(self):
        text = "".join(path.read_text() for path in (check.ROOT / "test").rglob("meson.build"))
        suites = set(re.findall(r"'([a-z]+)'", " ".join(re.findall(r"suite: (.*)", text))))
        tested = [c for c in check.CONFIGURATIONS if not c.build_only]
        left_out = {suite for c in tested for suite in c.leave_out}
        self.assertTrue(left_out)
        self.assertLessEqual(left_out, suites)
        for suite in left_out:
            self.assertTrue(any(suite not in c.leave_out for c in tested), suite)


if __name__ == "__main__":
    unittest.main()
