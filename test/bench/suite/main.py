"""tools/bench: builds, measures, shows."""
import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from . import boot, debugger, disk, exits, forms, host, many, picture, running, serial, start, virtio
from .counts import EMULATED, FULL, QUICK

ROOT = Path(__file__).resolve().parents[3]
CASES = {1: exits.round_trips, 2: exits.hand_overs, 3: exits.posted_writes, 4: serial.serial_port, 5: start.start_and_end,
         6: many.scale, 7: boot.boots, 8: disk.disks, 9: virtio.senders, 10: debugger.debugger}


def arguments(words):
    parser = argparse.ArgumentParser(
        prog="tools/bench", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures asyncvm beside bare C programs, and beside QEMU and kvmtool where they are installed.",
        epilog="cases:\n" + "\n".join(f"  {case}  {name}" for case, name in forms.CASES.items()) +
        "\n\nEvery ratio is to a baseline of the same run, in alternating rounds; docs/benchmarks.md says how to read them.")
    parser.add_argument("cases", nargs="*", type=int, metavar="CASE", help="which ones, 1 to 10 (default: all)")
    parser.set_defaults(counts=FULL)
    shorter = parser.add_mutually_exclusive_group()
    shorter.add_argument("--quick", dest="counts", action="store_const", const=QUICK,
                         help="fewer rounds and shorter ones: one or two minutes instead of ten")
    shorter.add_argument("--nested", action="store_true", help="measure on kvm-amd, in a machine that QEMU emulates (needs "
                         "qemu-system-x86_64, a static busybox and a kernel, which is downloaded once); times are instructions")
    shorter.add_argument("--emulated", dest="counts", action="store_const", const=EMULATED,
                         help="as little as --nested measures: what it runs in its machine")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each pair is measured (default 9, with the options "
                        "above 3)")
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
    if chosen.nested:
        chosen.counts = EMULATED
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
    rounds = chosen.rounds or chosen.counts.rounds
    told = host.describe(ROOT, buildtype(directory), rounds)
    cases = sorted(set(chosen.cases)) or list(CASES)
    peers = {"--qemu": chosen.qemu or shutil.which("qemu-system-x86_64"), "--kvmtool": chosen.kvmtool or running.find_kvmtool()}
    rows, complete = [], True
    try:
        if chosen.nested:
            from . import emulated  # only here: the machine has no such machine inside
            found = {option: shutil.which(program) for option, program in peers.items() if program}
            source = emulated.measured(directory, cases, rounds, found, told)
        else:
            source = measured_here(directory, cases, chosen.counts, rounds, peers)
        for row in source:
            rows.append(row)
            save(chosen, rows, told)
    except KeyboardInterrupt:
        print("\nbench: interrupted: this is what was measured until then", file=sys.stderr)
    except running.Failed as reason:
        print(f"\nbench: {reason}", file=sys.stderr)
        complete = False
    if rows:
        print(forms.table(rows, told))
        save(chosen, rows, told)
    return 0 if complete and rows and all(row.measured() or row.optional for row in rows) else 1


def measured_here(directory, cases, counts, rounds, peers):
    """Each row, when it has been measured."""
    functions = {case: CASES[case] for case in cases}
    if not host.usable_kvm():
        print("bench: /dev/kvm can't be used: only our share of a round trip is measured", file=sys.stderr)
        functions = {1: exits.our_share}
    with running.workspace() as work:
        bench = running.Bench(directory, Path(work), counts, rounds, peers["--kvmtool"], peers["--qemu"])
        for case, function in functions.items():
            print(f"{case}. {forms.CASES[case]}", file=sys.stderr)
            yield from function(bench)


def save(chosen, rows, told):
    """After each row: a run that is ended from outside has not been for nothing."""
    if chosen.json:
        chosen.json.write_text(json.dumps(forms.document(rows, told), indent=1, ensure_ascii=False) + "\n")
    if chosen.svg:
        chosen.svg.write_text(picture.svg(rows, told))
