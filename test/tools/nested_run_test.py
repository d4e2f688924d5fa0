"""test/nested/run: what a test gives that failed in the emulated machine, and ran there once more."""
import contextlib
import io
import sys
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

loader = SourceFileLoader("nested_run", str(Path(__file__).parents[1] / "nested" / "run"))
sys.dont_write_bytecode = True
run = module_from_spec(spec_from_loader("nested_run", loader))
loader.exec_module(run)

HUNG = """Entering test case "sleeps"
a.cpp(1): fatal error: in "sleeps": std::runtime_error: waited in vain for the end
Leaving test case "sleeps"; testing time: 9s
"""
WRONG = HUNG.replace("waited in vain for the end", "7 != 8")
GOOD = "".join(HUNG.splitlines(keepends=True)[::2])


class Turns(unittest.TestCase):
    def lines_for(self, *turns):
        """What is printed for a test whose runs gave these outputs and exit codes."""
        console = []
        for output, status in turns:
            console += ["@ begin 0", *output.splitlines(), f"@ end 0 {status}"]
        report = run.Report()
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            run.run_tests([run.plan.Test("rtc", [], {}, 1, [])], [*console, "@ done"], "@", report, False)
        self.assertEqual(printed.getvalue().count("not ok"), report.failed)
        return [line for line in printed.getvalue().splitlines() if not line.startswith("# ") or "AGAIN" in line]

    def test_a_test_that_passes_has_one(self):
        self.assertEqual(["ok 1 - rtc/sleeps"], self.lines_for((GOOD, 0)))

    def test_of_one_that_gave_up_waiting_the_second_counts(self):
        again = "# AGAIN: rtc gave up waiting in the emulated machine"
        self.assertEqual([again, "ok 1 - rtc/sleeps"], self.lines_for((HUNG, 201), (GOOD, 0)))
        self.assertEqual([again, "ok 1 - rtc/sleeps"], self.lines_for((GOOD, 137), (GOOD, 0)))
        self.assertEqual([again, "not ok 1 - rtc/sleeps"], self.lines_for((HUNG, 201), (HUNG, 201)))

    def test_of_any_other_failure_the_first_counts(self):
        self.assertEqual(["not ok 1 - rtc/sleeps"], self.lines_for((WRONG, 201), (GOOD, 0)))
        self.assertEqual(["not ok 1 - rtc/sleeps", "not ok 2 - rtc/sleeps"], self.lines_for((HUNG + WRONG, 201), (GOOD, 0)))

    def test_a_machine_that_ends_in_between_has_not_run_it(self):
        with self.assertRaises(run.machine.Died):
            run.run_tests([run.plan.Test("rtc", [], {}, 1, [])], ["@ begin 0", "@ end 0 1", "@ begin 0"], "@", run.Report(), False)


if __name__ == "__main__":
    unittest.main()
