"""tools/bench: what it makes of what it has measured. Nothing is measured here."""
import json
import sys
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from suite import counts, forms, picture, running, start, stats  # noqa: E402 (the path must be set first)
from suite.stats import Row, Target  # noqa: E402

HOST = {"host": "here <&>", "KVM": "kvm-none", "date": "2026-01-02", "processor": "one"}


def row(ours, theirs, **more):
    return Row(1, "OUT", "ns", samples={"asyncvm": ours, "bare C": theirs}, **more)


class Statistics(unittest.TestCase):
    def test_median_and_quartiles(self):
        self.assertEqual(stats.Summary(3, 2, 4), stats.summary([5, 1, 4, 2, 3]))
        self.assertEqual(stats.Summary(1.5, 1.25, 1.75), stats.summary([2, 1]))
        self.assertEqual(stats.Summary(7, 7, 7), stats.summary([7]))

    def test_ratio_is_of_pairs(self):
        # The host became ten times slower in the second round: the ratio of the medians would be 10.
        self.assertEqual(stats.Summary(2, 2, 2), row([2, 20, 200], [1, 10, 100]).ratio("bare C"))

    def test_no_ratio_to_nothing(self):
        self.assertEqual([], row([5, 6], [0, 0]).baselines())
        self.assertEqual(stats.Summary(3, 3, 3), row([5, 6], [0, 2]).ratio("bare C"))

    def test_targets(self):
        slow = row([110], [100])
        self.assertTrue(slow.verdict(Target(1.2, "bare C")))
        self.assertFalse(slow.verdict(Target(1.02, "bare C")))
        self.assertTrue(slow.verdict(Target(110)))
        self.assertFalse(slow.verdict(Target(109)))
        self.assertIsNone(slow.verdict(Target(1.2, "QEMU")))
        rate = row([800], [100], more_is_better=True)
        self.assertTrue(rate.verdict(Target(8, "bare C")))
        self.assertFalse(rate.verdict(Target(8.1, "bare C")))

    def test_quantities(self):
        self.assertEqual(["8.83 µs", "12.0 ms", "999 ns", "0 ns"],
                         [stats.quantity(value, "ns") for value in (8830, 12e6, 999, 0)])
        self.assertEqual("2.50 MiB", stats.quantity(2.5 * 2**20, "B"))
        self.assertEqual(["1.023", "12.0", "0.500"], [stats.factor(value) for value in (1.0234, 12, 0.5)])


class Running(unittest.TestCase):
    BENCH = running.Bench(Path(), Path(), counts.QUICK, 3, None, None)

    def test_order_alternates_and_an_absent_subject_is_asked_once(self):
        asked = []

        def subject(name):
            def run():
                asked.append(name)
                if name == "c":
                    raise running.Absent("not here")
                return len(asked)
            return run
        made = running.measure(self.BENCH, row([], []), {name: subject(name) for name in "abc"})
        self.assertEqual(list("abc" "ba" "ab"), asked)
        self.assertEqual({"a": [1, 5, 6], "b": [2, 4, 7], "c": []}, made.samples)
        self.assertEqual({"c": "not here"}, made.absent)

    def test_several_rows_from_one_run(self):
        calls = iter([(1, 10, 100), (2, 20, 200)])
        rows = running.from_one_run(lambda name: next(calls), ["a"], 3)
        self.assertEqual([1, 2, 10, 20, 100, 200], [row["a"]() for row in rows for _ in range(2)])
        self.assertRaises(running.Absent, rows[2]["a"])

    def test_the_guests_memory_is_told_apart(self):
        smaps = "\n".join([
            "1000-3000 r-xp 00000000 fe:00 12 /bin/it", "Rss: 8 kB", "Private_Clean: 4 kB", "Private_Dirty: 1 kB",
            "VmFlags: rd ex", "10000-14000 rw-p 00000000 00:00 0", "Rss: 16 kB", "Private_Clean: 0 kB", "Private_Dirty: 12 kB",
            "VmFlags: rd wr", "20000-21000 rw-p 00000000 00:00 0", "Rss: 2 kB", "Private_Clean: 0 kB", "Private_Dirty: 2 kB"])
        self.assertEqual([{"Rss": 10, "Private_Clean": 4, "Private_Dirty": 3}, {"Rss": 16, "Private_Clean": 0, "Private_Dirty": 12}],
                         start.mappings(smaps, 0x4000))

    def test_last_words(self):
        self.assertEqual("Fatal: no KVM", running.last_words("hello\n Fatal: no KVM\nusage\n"))
        self.assertEqual("the end", running.last_words("one\nthe end\n\n"))
        self.assertEqual("no reason given", running.last_words(""))


class Forms(unittest.TestCase):
    def rows(self):
        missed = row([20, 22, 24], [10, 11, 12], targets=[Target(1.02, "bare C")])
        alone = Row(5, "private memory", "B", targets=[Target(4 << 20)], samples={"asyncvm": [1 << 20]})
        absent = Row(4, "output", "B/s", True, [Target(1, "QEMU")], {"asyncvm": [5.0], "QEMU": []}, {"QEMU": "not installed"})
        broken = Row(6, "scale", "ns", samples={"asyncvm": [], "bare C": [1]}, absent={"asyncvm": "it crashed"})
        return [missed, absent, alone, broken]

    def test_table(self):
        lines = [" ".join(line.split()) for line in forms.table(self.rows(), HOST).splitlines()]
        self.assertIn("KVM: kvm-none", lines)
        self.assertIn("OUT 22.0 ns bare C 11.0 ns 2.00 2.00 – 2.00 ≤ 1.02: missed", lines)
        self.assertIn("private memory 1.00 MiB 1.00 MiB – 1.00 MiB ≤ 4.00 MiB: met", lines)
        self.assertIn("QEMU (not installed)", lines)
        self.assertIn("scale not measured it crashed", lines)

    def test_json(self):
        made = json.loads(json.dumps(forms.document(self.rows(), HOST)))
        self.assertEqual(HOST, made["host"])
        subject = made["rows"][0]["subjects"]["bare C"]
        self.assertEqual({"median": 2, "low": 2, "high": 2}, subject["ratio"])
        self.assertEqual([10, 11, 12], subject["samples"])
        self.assertEqual([{"baseline": "bare C", "limit": 1.02, "met": False}], made["rows"][0]["targets"])
        self.assertEqual({"QEMU": "not installed"}, made["rows"][1]["absent"])

    def test_picture(self):
        made = picture.svg(self.rows(), HOST)
        texts = [element.text for element in xml.fromstring(made).iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("2.00, target 1.02 missed", texts)
        self.assertIn("2026-01-02, here <&>, kvm-none, one", texts)
        self.assertFalse([text for text in texts if "scale" in text])

    def test_picture_of_nothing(self):
        xml.fromstring(picture.svg([], HOST))

    def test_axis_is_logarithmic(self):
        axis = picture.Axis([0.1, 10])
        self.assertAlmostEqual(axis.x(4) - axis.x(2), axis.x(2) - axis.x(1))
        self.assertIn(1, axis.ticks())


if __name__ == "__main__":
    unittest.main()
