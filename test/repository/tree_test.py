"""Every file of the repository: small, clean text, and every link between the documents leads somewhere."""
import re
import sys
import unittest
from pathlib import Path

ROOT = Path(sys.argv.pop(1))
ROOMS = ["src", "include", "test", "guests", "tools", "docs", "completions"]
CODE = {".cpp", ".hpp", ".S", ".s", ".py", ".build"}
LIMIT = 400
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def texts():
    yield from ROOT.glob("*.md")
    yield from (path for room in ROOMS for path in sorted((ROOT / room).rglob("*"))
                if path.is_file() and (path.suffix in CODE or path.suffix == ".md"))


class Tree(unittest.TestCase):
    def test_code_comes_in_small_files(self):
        long = {str(path.relative_to(ROOT)): lines for path in texts()
                if path.suffix in CODE and (lines := len(path.read_text().splitlines())) > LIMIT}
        self.assertEqual({}, long, f"files of more than {LIMIT} lines: split them by concern")

    def test_text_is_clean(self):
        for path in texts():
            text = path.read_text()
            with self.subTest(str(path.relative_to(ROOT))):
                self.assertTrue(text.endswith("\n"), "no newline at the end")
                self.assertFalse(re.findall(r"[ \t]+$", text, re.M), "white space at the end of a line")
                self.assertNotIn("\r", text)

    def test_links_between_documents_lead_somewhere(self):
        for path in texts():
            if path.suffix != ".md":
                continue
            for target in LINK.findall(path.read_text()):
                if "://" not in target and not target.startswith("mailto:"):
                    with self.subTest(document=str(path.relative_to(ROOT)), link=target):
                        self.assertTrue((path.parent / target).exists())


if __name__ == "__main__":
    unittest.main()
