"""tools/bench: builds, measures, shows."""
import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from . import exits, forms, host, many, picture, running, serial, start

ROOT = Path(__file__).resolve().parents[3]
CASES = {1: exits.round_trips, 2: exits.hand_overs, 3: exits.posted_writes, 4: serial.serial_port, 5: start.start_and_end,
         6: many.scale}


def arguments(words):
    parser = argparse.ArgumentParser(
        prog="tools/bench", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures asyncvm beside bare C programs, and beside QEMU and kvmtool where they are installed.",
        epilog="cases:\n" + "\n".join(f"  {case}  {name}" for case, name in forms.CASES.items()) +
        "\n\nEvery ratio is to a baseline of the same run, in alternating rounds; docs/benchmarks.md says how to read them.")
    parser.add_argument("cases", nargs="*", type=int, metavar="CASE", help="which ones, 1 to 6 (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and shorter ones: one or two minutes instead of ten")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each pair is measured (default 9, with --quick 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the results, with every sample")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="the ratios as a picture")
    parser.add_argument("--build", type=Path, metavar="DIR", help="measure this build as it is (default: build-bench, which is "
                        "made and brought up to date)")
    parser.add_argument("--kvmtool", metavar="PROGRAM", help="(default: lkvm or kvmtool, if installed)")
    parser.add_argument("--qemu", metavar="PROGRAM", help="(default: qemu-system-x86_64, if installed)")
    chosen = parser.parse_args(words)
    wrong = [case for case in chosen.cases if case not in CASES]
    if wrong:
        parser.error(f"there is no case {wrong[0]}: cases are 1 to {max(CASES)}")
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    return chosen


def build_own():
    """A build of its own, with the options that the README's build has: what users run is what is measured."""
    directory = ROOT / "build-bench"
    commands = [] if (directory / "build.ninja").exists() else [["meson", "setup", str(directory), str(ROOT)]]
    commands.append(["ninja", "-C", str(directory), "program", "benchmark-programs"])
    for command in commands:
        print(" ".join(command), file=sys.stderr)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            print("\n".join(done.stdout.splitlines()[-40:]), file=sys.stderr)
            sys.exit(f"bench: {command[0]} failed; its last lines are above")
    return directory


def checked(directory):
    """A build that somebody named."""
    missing = [path for path in ("asyncvm", "test/bench/inside", "test/bench/exits.bin") if not (directory / path).exists()]
    if missing:
        sys.exit(f"bench: {directory} is no build with the benchmark's programs: it has no {missing[0]} "
                 f"(ninja -C {directory} program benchmark-programs)")
    return directory.resolve()


def buildtype(directory):
    options = json.loads((directory / "meson-info" / "intro-buildoptions.json").read_text())
    return next(option["value"] for option in options if option["name"] == "buildtype")


def run(words):
    chosen = arguments(words)
    directory = checked(chosen.build or build_own())
    rounds = chosen.rounds or (3 if chosen.quick else 9)
    told = host.describe(ROOT, buildtype(directory), rounds)
    rows = []
    with running.workspace() as work:
        bench = running.Bench(directory, Path(work), chosen.quick, rounds, chosen.kvmtool or running.find_kvmtool(),
                              chosen.qemu or shutil.which("qemu-system-x86_64"))
        cases = {case: CASES[case] for case in sorted(set(chosen.cases)) or CASES}
        if not host.usable_kvm():
            print("bench: /dev/kvm can't be used: only our share of a round trip is measured", file=sys.stderr)
            cases = {1: exits.our_share}
        try:
            for case, function in cases.items():
                print(f"{case}. {forms.CASES[case]}", file=sys.stderr)
                rows += function(bench)
                save(chosen, rows, told)
        except KeyboardInterrupt:
            print("\nbench: interrupted: this is what was measured until then", file=sys.stderr)
    print(forms.table(rows, told))
    save(chosen, rows, told)
    return 0 if rows and all(row.measured() for row in rows if row.unit != "instr") else 1


def save(chosen, rows, told):
    """After each case: a run that is ended from outside has not been for nothing."""
    if chosen.json:
        chosen.json.write_text(json.dumps(forms.document(rows, told), indent=1, ensure_ascii=False) + "\n")
    if chosen.svg:
        chosen.svg.write_text(picture.svg(rows, told))
