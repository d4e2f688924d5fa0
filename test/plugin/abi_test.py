"""What plugins rely on is what abi.txt says: nobody changes it without noticing.

abi_test.py LIST PROGRAM [--update [--compatible]]

LIST prints sizes, members and virtual functions; PROGRAM shows its symbols to plugins. --update writes abi.txt anew: after
plugin_abi_version was raised, or, with --compatible, for a change that plugins built before do not see (a new function).
"""
import difflib
import re
import subprocess
import sys
from pathlib import Path

FILE = Path(__file__).parent / "abi.txt"
# The classes and functions of include/asyncvm that a device's author uses, and that are not in headers alone.
SHARED = re.compile(r"asyncvm::(?:(?:Bus|Chardev|Device|DeviceOptions|Event|GuestMemory|IrqLine|IrqPin|OneShot|PauseGate|"
                    r"StateReader|StateWriter)::[~\w]+|sleep_until|sleep_for|open_chardev|parse_chardev_spec)\(")


def symbols(program):
    listing = subprocess.run(["nm", "--dynamic", "--defined-only", "--demangle", program], check=True, capture_output=True,
                             text=True).stdout
    names = {line.split(maxsplit=2)[2] for line in listing.splitlines() if line.split(maxsplit=2)[1] == "T"}
    # Names with Asio in them depend on its version, which is a trait that plugins are asked for.
    return sorted(f"symbol {name.split('[abi:')[0]}" for name in names if SHARED.match(name) and "[clone" not in name and "asio::" not in name)


def version(lines):
    return next((line for line in lines if line.startswith("version ")), None)


def main(words):
    layout, program, *options = words
    now = subprocess.run([layout], check=True, capture_output=True, text=True).stdout.splitlines() + symbols(program)
    before = FILE.read_text().splitlines() if FILE.exists() else []
    if "--update" in options:
        gone = set(before) - set(now)
        if before and gone and version(now) == version(before):
            return f"not without a new plugin_abi_version in include/asyncvm/plugin.hpp: {', '.join(sorted(gone))}"
        if before and version(now) == version(before) and "--compatible" not in options:
            return "plugin_abi_version is as before: raise it, or say --compatible if plugins built before go on working"
        FILE.write_text("\n".join(now) + "\n")
        return 0
    if now == before:
        print(f"{len(now)} lines are the same")
        return 0
    print("\n".join(difflib.unified_diff(before, now, "abi.txt", "this build", lineterm="", n=0)))
    return (f"What plugins rely on has changed. If one that was built before would misbehave, raise plugin_abi_version in "
            f"include/asyncvm/plugin.hpp; then: python3 {sys.argv[0]} {layout} {program} --update [--compatible]")


sys.exit(main(sys.argv[1:]))
