"""What the single cases of a test did, from what it printed."""
import re
from dataclasses import dataclass

ENTER_SUITE = re.compile(r'Entering test suite "(.*)"')
LEAVE_SUITE = re.compile(r'Leaving test suite "(.*)"')
ENTER = re.compile(r'Entering test case "(.*)"')
LEAVE = re.compile(r'Leaving test case "(.*)"')
LEFT_OUT = re.compile(r'Test case "(.*)" is skipped because (?:precondition failed(?:: )?)?(.*)')
ERROR = re.compile(r'(?:: |^)(?:fatal )?error: in "')
SKIP = re.compile(r"^SKIP: *(.*)")
TAP = re.compile(r"^(not )?ok \d+ - (.*?)(?: # SKIP (.*))?$")


@dataclass
class Case:
    name: str  # suite/case; empty for a test as a whole
    status: str  # "passed", "failed" or "skipped"
    reason: str = ""


def from_output(lines, status):
    """The cases of a Boost.Test program that logged at level test_suite; of any other program, itself. `status` is its exit
    code: 77 means skipped."""
    found, suites, case = [], [], None
    if status == 77:
        reasons = [match.group(1) for line in lines if (match := SKIP.match(line))]
        return [Case("", "skipped", reasons[0] if reasons else "no reason given")]
    for line in lines:
        if match := ENTER_SUITE.search(line):
            suites.append(match.group(1))
        elif LEAVE_SUITE.search(line) and suites:
            suites.pop()
        elif match := ENTER.search(line):
            case = Case("/".join([*suites, match.group(1)]), "passed")
            found.append(case)
        elif LEAVE.search(line):
            case = None
        elif match := LEFT_OUT.search(line):
            found.append(Case(match.group(1), "skipped", match.group(2)))
        elif case is not None and ERROR.search(line):
            case.status = "failed"
        elif case is not None and case.status == "passed" and (match := SKIP.match(line)):
            case.status, case.reason = "skipped", match.group(1)
    if case is not None:  # never left: it took the program with it
        case.status = "failed"
    if not found or (status != 0 and all(one.status != "failed" for one in found)):
        found.append(Case("", "failed" if status else "passed"))
    return found


def from_tap(lines):
    return [Case(match.group(2), "failed" if match.group(1) else "skipped" if match.group(3) is not None else "passed",
                 match.group(3) or "") for line in lines if (match := TAP.match(line))]
