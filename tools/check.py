"""Builds and tests every configuration, and counts. Started by tools/check, which installs what is missing first."""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from tally import Tally, count, failed  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
CLANG = ["clang++-19", "clang++-20", "clang++-18", "clang++"]


@dataclass
class Configuration:
    """One build directory: its compilers (the first that is installed), its Meson options, its tests' patience."""
    name: str
    what: str
    compilers: list
    options: list
    timeout_multiplier: int
    environment: dict = field(default_factory=dict)
    nested: bool = False  # its tests also run on kvm-amd, in emulated machines
    hide_kvm: bool = False
    build_of: str = ""  # the configuration whose build directory this one uses
    targets: tuple = ("program", "meson-test-prereq")
    build_only: bool = False
    leave_out: tuple = ()  # suites whose tests would prove nothing that they don't in another configuration

    def directory(self):
        return ROOT / "build-check" / (self.build_of or self.name)

    def logbase(self):
        return self.name if self.build_of else "testlog"


SANITIZER_OPTIONS = ["-Doptimization=1", "-Db_lundef=false"]  # lundef: clang's sanitizers leave their symbols undefined
# What each proves is in docs/building.md. In this order: what fails most often comes first, and while the tests of one run the
# next is built.
CONFIGURATIONS = [
    Configuration("gcc", "g++, as it is shipped", ["g++"], [], 2, nested=True,
                  targets=("program", "meson-test-prereq", "benchmark-programs")),
    Configuration("no-kvm", "the programs of gcc as on a host without /dev/kvm", ["g++"], [], 2, hide_kvm=True, build_of="gcc",
                  leave_out=("pure", "docs", "tools")),
    Configuration("clang", "clang++, each file by itself: compiled, not run", CLANG,
                  ["-Dunity=off", "-Db_pch=false", "-Doptimization=0", "-Ddebug=false"], 2, targets=("program",), build_only=True),
    Configuration(
        "asan", "clang++, AddressSanitizer and UndefinedBehaviorSanitizer", CLANG,
        # Not vptr: its check opens a pipe, and takes it for a broken object when a test has used up all descriptors.
        ["-Db_sanitize=address,undefined", *SANITIZER_OPTIONS, "-Dcpp_args=-fno-sanitize=vptr"], 5,
        {"ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
         "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}, leave_out=("docs", "tools")),
    Configuration(
        "tsan", "clang++, ThreadSanitizer", CLANG, ["-Db_sanitize=thread", *SANITIZER_OPTIONS], 5,
        # No leaks of threads: a program that a signal ends at once leaves its threads as they are.
        {"TSAN_OPTIONS": f"halt_on_error=1:second_deadlock_stack=1:report_thread_leaks=0:"
                         f"suppressions={ROOT}/tools/tsan.suppressions"},
        leave_out=("pure", "docs", "tools", "install")),
]
# For a short wait: nothing that is not in the others as well.
QUICK = Configuration("quick", "g++ without optimisation", ["g++"], ["-Doptimization=0", "-Ddebug=false"], 2)
WITHOUT_KVM = f"{ROOT}/tools/without-kvm"

# With --again: more tests than this that fail are no accident.
MOST_AGAIN = 3

# Boost.Test must tell which cases it ran and why it skipped some.
BOOST_TEST = {"BOOST_TEST_LOG_LEVEL": "test_suite", "BOOST_TEST_REPORT_LEVEL": "short", "BOOST_TEST_COLOR_OUTPUT": "no"}
CHATTER = re.compile(r"(Entering|Leaving) test (case|suite|module)|did not check any assertions$")


def say(text):
    print(text, flush=True)


def tail(path, lines):
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


class Stop(Exception):
    """The check can't go on; why is the text. Counts as a failure."""


class Step:
    """A line when a step starts, a line now and then while it runs, a line when it has ended."""

    def __init__(self, name):
        self.name, self.start, self.last = name, time.monotonic(), time.monotonic()
        say(f"[{name}] ...")

    def progress(self, text):
        if time.monotonic() - self.last > 20:
            self.last = time.monotonic()
            say(f"[{self.name}] {text}")

    def end(self, text="done"):
        say(f"[{self.name}] {text} ({time.monotonic() - self.start:.0f} s)")


# The next configuration is built while one is tested. What runs then, to end it when the check ends early.
spawning, given_up, children = threading.Lock(), threading.Event(), []


def give_up():
    with spawning:
        given_up.set()
        for child in children:
            if child.poll() is None:
                child.terminate()


def run_logged(command, log, environment, step, follow):
    """Runs a command, its output in a file; `follow` finds progress in its lines. Returns its exit code."""
    with open(log, "w") as file:
        with spawning:
            if given_up.is_set():
                raise Stop("not built, after a failure elsewhere")
            child = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True, errors="replace")
            children.append(child)
        for line in child.stdout:
            file.write(line)
            if found := follow.search(line):
                step.progress(found.group(0).strip())
        code = child.wait()
    if given_up.is_set():
        raise Stop("ended, after a failure elsewhere")
    return code


def build(configuration, first):
    """Configures where needed, and builds. Raises Stop where that fails. But for the first, tests run at the same time: a build
    takes the processors that they leave."""
    directory, environment = configuration.directory(), dict(os.environ)
    niceness = [] if first else ["nice", "-n", "19"]
    compiler = next((name for name in configuration.compilers if shutil.which(name)), None)
    if compiler is None:
        raise Stop(f"none of these compilers is installed: {', '.join(configuration.compilers)}")
    environment["CXX"] = compiler
    setup = ["meson", "setup", str(directory), str(ROOT), "-Dwerror=true", "-Dtests=enabled", *configuration.options]
    stamp, log = directory / "check.setup", directory.with_suffix(".log")
    wanted = " ".join([compiler, *setup])
    if not stamp.exists() or stamp.read_text() != wanted or not (directory / "build.ninja").exists():
        step = Step(f"{configuration.name}: configure")
        shutil.rmtree(directory, ignore_errors=True)
        if run_logged([*niceness, *setup], log, environment, step, re.compile("^$")) != 0:
            say(tail(log, 40))
            raise Stop(f"meson setup failed; its last lines are above, all of it is in {log}")
        stamp.write_text(wanted)
        step.end()
    step = Step(f"{configuration.name}: build")
    ninja = [*niceness, "ninja", "-C", str(directory)]
    # What there is to build is asked of a build directory that is up to date.
    code = run_logged([*ninja, "build.ninja"], log, environment, step, re.compile("^$"))
    code = code or run_logged([*ninja, *targets(configuration)], log, environment, step, re.compile(r"^\[\d+/\d+\]"))
    if code != 0:
        say(tail(log, 60))
        raise Stop(f"the build failed; its last lines are above, all of it is in {log}")
    step.end()


def targets(configuration):
    """What ninja builds: for a configuration that leaves suites out only what the other tests need."""
    if not configuration.leave_out or configuration.build_of:
        return list(configuration.targets)
    directory = configuration.directory()

    def introspect(what):
        return json.loads(subprocess.run(["meson", "introspect", f"--{what}", str(directory)], check=True,
                                         capture_output=True, text=True).stdout)
    files = {target["id"]: target["filename"] for target in introspect("targets")}
    left_out = set(configuration.leave_out) | {"nested"}
    needed = {file for entry in introspect("tests") if not left_out & {suite.split(":")[-1] for suite in entry["suite"]}
              for identity in entry["depends"] for file in files[identity]}
    return [target for target in configuration.targets if target != "meson-test-prereq"] + sorted(
        os.path.relpath(file, directory) for file in needed)


def run_tests(command, results, log, environment, step):
    """Runs `meson test`; returns its exit code and the records that it leaves in the file `results`."""
    results.unlink(missing_ok=True)
    code = run_logged(command, log, environment, step, re.compile(r"^ *\d+/\d+ .*"))
    lines = results.read_text().splitlines() if results.exists() else []
    return code, [json.loads(line) for line in lines]


def test(configuration, arguments):
    """Runs the tests of one configuration and returns their Tally."""
    directory, environment = configuration.directory(), {**os.environ, **BOOST_TEST, **configuration.environment}
    logbase = configuration.logbase()
    results, log = directory / "meson-logs" / f"{logbase}.json", directory.with_name(f"{configuration.name}.log")
    if configuration.hide_kvm:
        possible = subprocess.run([WITHOUT_KVM, "true"], capture_output=True, text=True)
        if possible.returncode != 0:
            say(f"[{configuration.name}] not run: {possible.stderr.strip()}")
            return Tally(skipped=1, reasons=[("all tests", "", possible.stderr.strip())])
    command = [*([WITHOUT_KVM] if configuration.hide_kvm else []), "meson", "test", "-C", str(directory), "--no-rebuild",
               f"--timeout-multiplier={configuration.timeout_multiplier}"]
    suites = [*([] if configuration.nested else ["--no-suite", "nested"]),
              *(word for suite in configuration.leave_out for word in ("--no-suite", suite))]
    step = Step(f"{configuration.name}: test")
    stop = [] if arguments.keep_going else [f"--maxfail={MOST_AGAIN + 1 if arguments.again else 1}"]
    code, records = run_tests([*command, "--logbase", logbase, *stop, *suites], results, log, environment, step)
    tally = Tally()
    bad = [record for record in records if failed(record)]
    if arguments.again and 0 < len(bad) <= MOST_AGAIN:
        say(f"[{configuration.name}] once more: {', '.join(record['name'] for record in bad)}")
        names = [record["name"].rpartition(" / ")[2] for record in bad]
        again = directory / "meson-logs" / f"{logbase}-again.json"
        code, second = run_tests([*command, "--logbase", again.stem, *names], again, log.with_suffix(".again.log"), environment, step)
        later = {record["name"]: record for record in second}
        tally.first = [record for record in bad if not failed(later.get(record["name"], record))]
        tally.again = [f"{record['name']} failed the first time" for record in tally.first]
        records = [later.get(record["name"], record) for record in records]
        results.write_text("".join(json.dumps(record) + "\n" for record in records))
    for record in records:
        if record["result"] != "INTERRUPT":
            tally.add(count(record))
    if code != 0 and tally.failed == 0:
        say(tail(log, 40))
        raise Stop(f"meson test ended with {code}, and no test says why; see {log}")
    if not records:
        raise Stop("there are no tests")
    step.end(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped")
    return tally


def show_failures(configuration, tally):
    for record in tally.first + tally.failures:
        turn = ", the first time" if record in tally.first else ""
        say(f"\n==== {configuration.name}: {record['name']}{turn}: {record['result']} (returned {record['returncode']})")
        say(f"     {' '.join(record['command'])}")
        for stream in ("stdout", "stderr"):
            lines = (record.get(stream) or "").splitlines()
            if record["result"] == "FAIL":  # after a crash or a hang one wants to know how far it came
                lines = [line for line in lines if not CHATTER.search(line)]
            if lines:
                say(f"---- {stream}" + (f", the last 150 of {len(lines)} lines" if len(lines) > 150 else ""))
                say("\n".join(lines[-150:]))


def table_of_hosts(configurations):
    """Each test on each host that it could run on. Returns whether every test ran somewhere."""
    command = [f"{ROOT}/tools/host-table"]
    for configuration in configurations:
        log = configuration.directory() / "meson-logs" / f"{configuration.logbase()}.json"
        if configuration.nested:
            command.append(str(log))
        elif configuration.hide_kvm and log.exists():
            command += ["--without-kvm", str(log)]
    say("\nTests by host:")
    return subprocess.run(command).returncode == 0


def describe_machine():
    kvm = "usable" if os.access("/dev/kvm", os.R_OK | os.W_OK) else \
        "no permission" if os.path.exists("/dev/kvm") else "absent: tests that need it are skipped"
    say(f"check: {os.cpu_count()} processors, Linux {os.uname().release}, /dev/kvm {kvm}")


def main():
    parser = argparse.ArgumentParser(
        prog="tools/check", description="Builds and tests asyncvm in every configuration: "
        + "; ".join(f"{c.name} ({c.what})" for c in CONFIGURATIONS)
        + ". Build directories are kept in build-check/ and used again.",
        epilog="Counts test cases, one for each configuration. The last line is: N passed, N failed, N skipped. "
        "Exit code 0 if nothing failed.")
    parser.add_argument("--quick", action="store_true", help="only g++, without optimisation, and on this host only")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failure")
    parser.add_argument("--again", action="store_true", help=f"where no more than {MOST_AGAIN} tests of a configuration fail, run "
                        "these once more: what passes then is listed, with what it printed the first time, and fails nothing")
    parser.add_argument("configuration", nargs="*", help="only these configurations")
    arguments = parser.parse_args()
    names = arguments.configuration or [c.name for c in CONFIGURATIONS]
    if unknown := set(names) - {c.name for c in CONFIGURATIONS}:
        parser.error(f"no such configuration: {', '.join(sorted(unknown))}")
    if arguments.quick and arguments.configuration:
        parser.error("--quick is a configuration of its own")
    chosen = [QUICK] if arguments.quick else [c for c in CONFIGURATIONS if c.name in names]

    describe_machine()
    (ROOT / "build-check").mkdir(exist_ok=True)
    start, table, total = time.monotonic(), [], Tally()
    builder, builds = ThreadPoolExecutor(1), {}
    for configuration in chosen:
        if configuration.directory() not in builds:
            builds[configuration.directory()] = builder.submit(build, configuration, not builds)
    for configuration in chosen:
        try:
            builds[configuration.directory()].result()
            tally = Tally() if configuration.build_only else test(configuration, arguments)
        except Stop as reason:
            say(f"\ncheck: {configuration.name}: {reason}")
            tally = Tally(failed=1)
        table.append((configuration, tally))
        total.add(tally)
        show_failures(configuration, tally)
        if tally.failed and not arguments.keep_going:
            builder.shutdown(wait=False, cancel_futures=True)
            give_up()
            break
    builder.shutdown()

    skipped = {}
    for configuration, tally in table:
        for name, case, reason in tally.reasons:
            skipped.setdefault((name, case, reason), []).append(configuration.name)
    if skipped:
        say("\nSkipped:")
        for (name, case, reason), where in sorted(skipped.items()):
            say(f"  {name}{': ' if case else ''}{case}: {reason} [{', '.join(where)}]")
    again = [(line, configuration.name) for configuration, tally in table for line in tally.again]
    if again:
        say("\nRan once more, after a failure. Each is a fault, of a test or of the program, until one knows better:")
        for line, where in again:
            say(f"  {line} [{where}]")
    say(f"\n{'configuration':15}{'passed':>8}{'failed':>8}{'skipped':>9}")
    for configuration, tally in table:
        say(f"{configuration.name:15}{tally.passed:8}{tally.failed:8}{tally.skipped:9}   {configuration.what}")
    for configuration in chosen[len(table):]:
        say(f"{configuration.name:15}{'not run, after the failure above':>8}")
    if not total.failed and any(configuration.nested for configuration, _ in table):
        if not table_of_hosts([configuration for configuration, _ in table]):
            say("check: a test that runs nowhere tests nothing")
            total.failed += 1
    say(f"in {time.monotonic() - start:.0f} s")
    say(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped")
    return 1 if total.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        give_up()
        say("check: interrupted")
        sys.exit(130)
