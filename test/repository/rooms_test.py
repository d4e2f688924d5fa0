"""Each room under src includes the rooms that its row in docs/architecture.md allows, and no other.

rooms_test.py ROOT"""
import re
import sys
import unittest
from pathlib import Path

ROOT = Path(sys.argv.pop(1))
SOURCES = ROOT / "src"
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


def table():
    """The rooms of the table, the file to read first and what each may include: {"bus": ("io_bus.cpp", {"async"}), ...}."""
    page = (ROOT / "docs/architecture.md").read_text()
    section = page[page.index("\n## Rooms\n"):].split("\n## ")[1]
    rows = re.findall(r"^\| `src/([a-z0-9/]+)` \|[^|]*\| `([a-z0-9_.]+)` \|([^|]*)\|$", section, re.M)
    return {room: (first, set(re.findall(r"`([a-z0-9/]+)`", allowed))) for room, first, allowed in rows}


def room_of(path, rooms):
    """The room that a path below src is in: the longest name that fits, so that accel/kvm is not accel. None outside."""
    fitting = [room for room in rooms if path.startswith(room + "/")]
    return max(fitting, key=len, default=None)


def sources():
    yield from (path for path in sorted(SOURCES.rglob("*")) if path.suffix in {".cpp", ".hpp"})


class Rooms(unittest.TestCase):
    def setUp(self):
        rows = table()
        self.first = {room: first for room, (first, _) in rows.items()}
        self.rules = {room: allowed for room, (_, allowed) in rows.items()}

    def included(self):
        """Every include of another room: (path, its room, the header, the header's room)."""
        for path in sources():
            room = room_of(str(path.relative_to(SOURCES)), self.rules)
            for header in INCLUDE.findall(path.read_text()):
                if (other := room_of(header, self.rules)) not in {None, room}:
                    yield path.relative_to(ROOT), room, header, other

    def test_every_source_is_in_a_room_of_the_table(self):
        homeless = [str(path.relative_to(ROOT)) for path in sources()
                    if room_of(str(path.relative_to(SOURCES)), self.rules) is None]
        self.assertEqual([], homeless)

    def test_every_room_of_the_table_exists(self):
        self.assertEqual([], [room for room in self.rules if not (SOURCES / room).is_dir()])
        named = set().union(*self.rules.values())
        self.assertEqual(set(), named - set(self.rules), "rooms that are allowed but have no row")

    def test_the_file_to_read_first_exists(self):
        self.assertEqual([], [room for room, first in self.first.items() if not (SOURCES / room / first).is_file()])

    def test_a_room_includes_only_what_its_row_allows(self):
        self.assertEqual([], [f"{path} includes {header}" for path, room, header, other in self.included()
                              if other not in self.rules.get(room, set())])

    def test_public_headers_include_no_room(self):
        headers = sorted((ROOT / "include/asyncvm").glob("*.hpp"))
        self.assertTrue(headers)
        self.assertEqual([], [f"{path.name} includes {header}" for path in headers
                              for header in INCLUDE.findall(path.read_text()) if room_of(header, self.rules)])

    def test_the_arrows_between_rooms_go_one_way(self):
        remaining = {room: set(allowed) for room, allowed in self.rules.items()}
        while free := [room for room, allowed in remaining.items() if not allowed & set(remaining)]:
            for room in free:
                del remaining[room]
        self.assertEqual({}, remaining, "rooms that include each other in a circle")

    def test_only_the_room_of_kvm_includes_its_header(self):
        users = {room_of(str(path.relative_to(SOURCES)), self.rules) for path in sources()
                 if "linux/kvm.h" in INCLUDE.findall(path.read_text())}
        self.assertEqual({"accel/kvm"}, users)


if __name__ == "__main__":
    unittest.main()
