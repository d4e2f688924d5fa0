"""The devices in C compile without a warning, with each compiler that is there, as C11 and later.

compilers_test.py CLIENTS"""
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

CLIENTS = Path(sys.argv.pop())
WARNINGS = ["-Wall", "-Wextra", "-pedantic", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror"]
COMPILERS = [name for name in ("gcc", "clang-19", "clang", "cc") if shutil.which(name)]


class Compilers(unittest.TestCase):
    def test_no_warnings(self):
        self.assertTrue(COMPILERS, "no C compiler")
        for compiler in COMPILERS:
            for standard in ("c11", "gnu17"):
                for source in CLIENTS.glob("*.c"):
                    with self.subTest(compiler=compiler, standard=standard, source=source.name):
                        done = subprocess.run([compiler, f"-std={standard}", *WARNINGS, "-O2", "-c", "-o", "/dev/null", source],
                                              text=True, capture_output=True)
                        self.assertEqual("", done.stderr)
                        self.assertEqual(0, done.returncode)


if __name__ == "__main__":
    unittest.main()
