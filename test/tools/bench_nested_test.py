"""tools/bench --nested: what goes into the emulated machine, and what is made of what comes out. It is not booted here."""
import contextlib
import io
import sys
import unittest
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from suite import counts, emulated, exits, forms, main, many, running, stats  # noqa: E402 (the path must be set first)
from suite.stats import Row, Target  # noqa: E402

THERE = {"host": "(none)", "KVM": "kvm-amd", "processor": "AMD, 1 of them", "kernel": "6.1", "date": "then"}


def printed(document, token="@1"):
    return [f"{token} results", *main.json.dumps(document, indent=1).splitlines(), f"{token} end"]


class FromTheMachine(unittest.TestCase):
    def documents(self, lines):
        said, found = [], []
        try:
            for document in emulated.documents(lines, "@1", said.append):
                found.append(document)
        except running.Failed as reason:
            return found, said, str(reason)
        return found, said, None

    def test_each_document_is_found_between_what_is_said(self):
        lines = ["  OUT...", *printed({"n": 1}), "  IN...", *printed({"n": 2}), "@1 done", "Power down"]
        self.assertEqual(([{"n": 1}, {"n": 2}], ["  OUT...", "  IN...", "Power down"], None), self.documents(lines))

    def test_a_case_without_results_does_not_hide_the_next(self):
        lines = ["bench: case 1 failed there", "@1 results", "@1 end", *printed({"n": 2}), "@1 done"]
        self.assertEqual(([{"n": 2}], ["bench: case 1 failed there"], None), self.documents(lines))

    def test_an_end_before_its_time_is_told_after_what_was_measured(self):
        found, _, reason = self.documents([*printed({"n": 1}), "  OUT..", "Kernel panic"])
        self.assertEqual([{"n": 1}], found)
        self.assertIn("turned itself off", reason)

    def test_rows_come_back_as_they_were(self):
        rows = [Row(1, "OUT", "ns", False, [Target(1.02, "bare C"), Target(100)], {"asyncvm": [1, 2], "bare C": [3, 4]}),
                Row(4, "output", "B/s", True, [], {"asyncvm": [5.5], "kvmtool": []}, {"kvmtool": "not there"}, True),
                stats.left_out(6, "1000 machines", "ns", "too many")]
        made = main.json.loads(main.json.dumps(forms.document(rows, THERE)))
        again = [forms.row_of(row) for row in made["rows"]]
        self.assertEqual(forms.document(rows, THERE), forms.document(again, THERE))
        self.assertEqual(forms.table(rows, THERE), forms.table(again, THERE))

    def test_the_table_names_both_machines(self):
        told = {"host": "here", "KVM": "kvm-pvm", "processor": "Xeon, 4 of them", "kernel": "6.18", "date": "now"}
        emulated.merge(told, THERE)
        self.assertEqual({"host": "here", "KVM": "kvm-amd, emulated by QEMU TCG", "kernel": "6.1", "date": "now",
                          "processor": "AMD, 1 of them, an instruction a nanosecond"}, told)


class IntoTheMachine(unittest.TestCase):
    def test_one_command_a_case(self):
        script = emulated.commands(Path("/b b"), [2, 5], 7, {"--qemu": "/usr/bin/qemu"}, "@1")
        self.assertIn("--emulated --build '/b b' --rounds 7 --qemu /usr/bin/qemu --json /tmp/2.json 2 <", script)
        self.assertIn("--json /tmp/5.json 5 <", script)
        self.assertTrue(script.endswith("echo '@1 done'\n"))

    def test_what_it_runs_is_understood_there(self):
        chosen = main.arguments(["--emulated", "--build", "/b", "--rounds", "7", "--json", "/tmp/2.json", "2"])
        self.assertEqual((counts.EMULATED, False), (chosen.counts, chosen.nested))

    def test_the_suite_and_its_library_are_taken_along(self):
        names = {Path(file).name for file in emulated.modules()}
        self.assertLessEqual({"main.py", "serial.py", "argparse.py", "subprocess.py", "tempfile.py"}, names)
        self.assertFalse([file for file in emulated.modules() if "site-packages" in file])


class Options(unittest.TestCase):
    def test_counts(self):
        self.assertEqual([counts.FULL, counts.QUICK, counts.EMULATED],
                         [main.arguments(words).counts for words in ([], ["--quick"], ["--nested"])])

    def test_one_of_them_at_a_time(self):
        with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
            main.arguments(["--quick", "--nested"])

    def test_counts_fit_the_guests(self):
        for chosen in (counts.FULL, counts.QUICK, counts.EMULATED):
            for count in (chosen.round_trips, chosen.fakes, chosen.hand_overs, chosen.writes // 4, chosen.of_each_vcpu):
                self.assertEqual(0, count % 16)
            self.assertEqual(0, chosen.serial_bytes % 4000)


class LeftOut(unittest.TestCase):
    """Rows that this host or these counts rule out say why, and are no failure."""

    def rows(self, function, of_one_core=True):
        bench = running.Bench(Path(), Path(), counts.EMULATED, 1, None, None)

        def nothing(bench, row, subjects, rounds=None):
            row.samples = {name: [1] for name in subjects}
            return row
        with mock.patch.object(exits, "measure", nothing), mock.patch.object(many, "measure", nothing), \
                mock.patch("os.sched_getaffinity", return_value={0} if of_one_core else {0, 1}):
            return [row for row in function(bench) if not row.measured()]

    def test_other_cores(self):
        left = self.rows(exits.hand_overs)
        self.assertEqual(5, len(left))
        self.assertTrue(all(row.optional and "no other core" in row.absent[Row.OURS] for row in left))
        self.assertEqual([], self.rows(exits.hand_overs, of_one_core=False))

    def test_a_thousand_machines(self):
        left = self.rows(many.many_machines)
        self.assertEqual([("1000 machines", True)], [(row.name, row.optional) for row in left])

    def test_instructions_where_all_times_are(self):
        self.assertTrue(all(row.optional and row.unit == "instr" for row in self.rows(exits.our_share)))
        self.assertEqual(4, len(self.rows(exits.our_share)))


if __name__ == "__main__":
    unittest.main()
