"""The program's static probes, as tools find them, are those of the page.

probes_test.py PROGRAM PAGE"""
import re
import subprocess
import sys
import unittest
from pathlib import Path

PAGE = Path(sys.argv.pop()).read_text()
PROGRAM = sys.argv.pop()


class Probes(unittest.TestCase):
    def test_the_program_has_the_probes_of_the_page_with_their_arguments(self):
        notes = subprocess.run(["readelf", "--notes", "--wide", PROGRAM], check=True, capture_output=True, text=True).stdout
        found = re.findall(r"Provider: asyncvm\s+Name: (\w+)\s+Location: [^\n]*\s+Arguments: ([^\n]*)", notes)
        counts = {name: {len(re.findall(r"-?\d@", arguments)) for each, arguments in found if each == name} for name, _ in found}
        table = PAGE[PAGE.index("## Static probes"):]
        told = {name: {len(re.sub(r"\([^)]*\)", "", arguments).split(","))}
                for name, arguments in re.findall(r"^\| `(\w+)` \| ([^|]*) \|", table, re.M)}
        self.assertTrue(told)
        self.assertEqual(told, counts)


if __name__ == "__main__":
    unittest.main()
