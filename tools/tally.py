"""The test cases of a run of Meson's tests, by result, from the records that it leaves."""
import re
from dataclasses import dataclass, field

import cases

CASE_COUNT = re.compile(r"^  (\d+) test cases? out of \d+ (passed with warnings|passed|failed|skipped)$", re.M)
CASE_RUNNING = re.compile(r"^Running (\d+) test cases?\.\.\.", re.M)
CASE_START = re.compile(r'Entering test case "(.*)"')
CASE_LEFT_OUT = re.compile(r'Test case "(.*)" is skipped because (?:precondition failed(?:: )?)?(.*)')
REASON = re.compile(r"^SKIP: *(.*)")
AGAIN = re.compile(r"^# AGAIN: (.*)", re.M)  # a lane of emulated machines ran something twice


@dataclass
class Tally:
    """Test cases by result. A test that is no Boost.Test program is one case."""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: list = field(default_factory=list)   # (test, case or "", reason) of what was skipped
    failures: list = field(default_factory=list)  # the records of the tests that failed
    again: list = field(default_factory=list)     # what passed only when it ran once more, a line each
    first: list = field(default_factory=list)     # the records of the tests that failed before they did

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.reasons += other.reasons
        self.failures += other.failures
        self.again += other.again


def count(record):
    """The Tally of one record of Meson's testlog.json."""
    out, err = record.get("stdout") or "", record.get("stderr") or ""
    name, result = record["name"], record["result"]
    tally = Tally()
    if result == "SKIP":
        running = CASE_RUNNING.search(out)
        tally.skipped = int(running.group(1)) if running else 1
        reasons = [found.group(1) for line in (out + "\n" + err).splitlines() if (found := REASON.match(line))]
        tally.reasons = [(name, "", reasons[0] if reasons else "no reason given")]
        return tally

    counts = {kind: int(number) for number, kind in CASE_COUNT.findall(err)}
    tally.passed = counts.get("passed", 0) + counts.get("passed with warnings", 0)
    tally.failed = counts.get("failed", 0)
    tally.skipped = counts.get("skipped", 0)
    inner = cases.from_tap(out.splitlines())
    if inner:
        tally.passed, tally.failed, tally.skipped = (
            sum(case.status == status for case in inner) for status in ("passed", "failed", "skipped"))
        tally.reasons = [(name, case.name, case.reason) for case in inner if case.status == "skipped"]
    elif result == "OK" and not counts:
        tally.passed = 1
    tally.again = AGAIN.findall(out)
    if result != "OK":
        tally.failed = max(tally.failed, 1)  # at least: a test program that crashes reports no cases
        tally.failures = [record]

    case = None
    for line in out.splitlines():
        if found := CASE_START.search(line):
            case = found.group(1)
        elif found := CASE_LEFT_OUT.search(line):
            tally.reasons.append((name, found.group(1), found.group(2)))
        elif case is not None and (found := REASON.match(line)):
            # The case found out while it ran that it can't be run here: Boost.Test counts it as passed.
            tally.reasons.append((name, case, found.group(1)))
            tally.passed -= 1
            tally.skipped += 1
            case = None
    return tally


def failed(record):
    return record["result"] not in ("OK", "SKIP", "INTERRUPT")  # the last: another test had failed
