"""Every function that the walk in docs/architecture.md names exists, and is named once.

walk_test.py ROOT"""
import re
import sys
import unittest
from pathlib import Path

ROOT = Path(sys.argv.pop(1))
HEADING = "### A walk from KVM_RUN to the socket\n"


def walk():
    """The functions in the walk's section: [("Vcpu", "run"), ...]."""
    page = (ROOT / "docs/architecture.md").read_text()
    section = page[page.index(HEADING) + len(HEADING):].split("\n##")[0]
    return re.findall(r"`([A-Za-z0-9]+)::([a-z_]+)`", section)


def exists(owner, function, texts):
    """It is defined outside of its class, or declared in a file that has the class."""
    outside = re.compile(rf"\b{owner}::{function}\(")
    inside = re.compile(rf"\b{function}\(")
    of_class = re.compile(rf"\b(class|struct) {owner}\b[^;]*\{{")
    return any(outside.search(text) or (of_class.search(text) and inside.search(text)) for text in texts)


class Walk(unittest.TestCase):
    def test_functions_exist(self):
        texts = [path.read_text() for room in ["src", "include"] for path in (ROOT / room).rglob("*.?pp")]
        missing = [f"{owner}::{function}" for owner, function in walk() if not exists(owner, function, texts)]
        self.assertEqual([], missing)

    def test_functions_are_named_once(self):
        named = walk()
        self.assertGreater(len(named), 20)
        self.assertEqual([], sorted({f"{o}::{f}" for o, f in named if named.count((o, f)) > 1}))


if __name__ == "__main__":
    unittest.main()
