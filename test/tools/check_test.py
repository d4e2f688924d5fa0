"""tools/check counts what Boost.Test and Meson report: the records below are what they write."""
import importlib.util
import re
import sys
import tempfile
import unittest
from argparse import Namespace
from pathlib import Path
from unittest import mock

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


    def test_what_a_lane_ran_twice_is_told(self):
        tally = check.count(record("OK", "# AGAIN: rtc gave up waiting\nok 1 - rtc\n1..1\n"))
        self.assertEqual((1, 0), (tally.passed, tally.failed))
        self.assertEqual(["rtc gave up waiting"], tally.again)


class Again(unittest.TestCase):
    """A configuration whose tests are the given records: of a first run, and of what runs once more."""

    def tally(self, first, second=None, again=True):
        runs = [[{**record(result, "it was slow"), "name": f"asyncvm:unit / {name}"} for name, result in run.items()]
                for run in (first, second or {})]
        self.commands = []

        def run_tests(command, *_):
            self.commands.append(command)
            run = runs.pop(0)
            return int(any(check.failed(one) for one in run)), run
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(check, "run_tests", run_tests), \
                mock.patch.object(check.Configuration, "directory", lambda _: Path(folder)):
            (Path(folder) / "meson-logs").mkdir()
            configuration = check.Configuration("gcc", "", [], [], 1)
            tally = check.test(configuration, Namespace(keep_going=False, again=again))
            log = Path(folder) / "meson-logs" / "testlog.json"
            self.log = log.read_text() if log.exists() else ""
        return tally

    def test_what_passes_then_is_told_and_fails_nothing(self):
        tally = self.tally({"a": "OK", "b c": "TIMEOUT"}, {"b c": "OK"})
        self.assertEqual((2, 0), (tally.passed, tally.failed))
        self.assertEqual(["asyncvm:unit / b c failed the first time"], tally.again)
        self.assertEqual(["it was slow"], [one["stdout"] for one in tally.first])
        self.assertEqual("b c", self.commands[1][-1])
        self.assertNotIn("TIMEOUT", self.log)

    def test_what_fails_again_fails(self):
        tally = self.tally({"a": "FAIL", "b": "FAIL"}, {"a": "FAIL", "b": "OK"})
        self.assertEqual((1, 1), (tally.passed, tally.failed))
        self.assertEqual(1, len(tally.first))

    def test_many_failures_are_no_accident(self):
        tally = self.tally(dict.fromkeys("abcd", "FAIL"))
        self.assertEqual((0, 4, 1), (tally.passed, tally.failed, len(self.commands)))

    def test_only_who_asks_for_it_gets_it(self):
        tally = self.tally({"a": "FAIL"}, again=False)
        self.assertEqual((1, []), (tally.failed, tally.again))
        self.assertIn("--maxfail=1", self.commands[0])


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
