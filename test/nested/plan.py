"""Which tests of a build directory run in the machine, and which files they need there."""
import json
import os
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from image import is_program

# The suites that a test of each lane is in. `hosts`: what the host's KVM can change; the tests of the serial ports, about sockets
# and volumes, are not among them. How memory is mapped changes what a guest does, but nothing of the program around it.
LANES = {"npt": {"hosts"}, "shadow": {"hosts", "guest"}, "linux": {"linux"}}
# Tools that tests call by name.
TOOLS = ["nc", "socat", "bash", "cmp", "passt"]
# Slower than the host's processor by about this much; the tests' own limits of time count for the host.
SLOWER = 4


@dataclass
class Test:
    name: str
    command: list
    environment: dict
    limit: int  # seconds
    files: list
    guest_programs: list = field(default_factory=list)  # for the initial RAM disk of the Linux that it boots
    why_not: str = ""  # not empty: it can't run there

    def script(self):
        words = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        words += ["timeout", "-s", "KILL", str(self.limit), *map(shlex.quote, self.command)]
        return " ".join(words)


def _files_below(path):
    return [str(file) for file in sorted(Path(path).rglob("*")) if file.is_file()] if os.path.isdir(path) else [path]


def _modules_of(python, script):
    """Files of what a test in Python imports, and of its codecs, which are imported when they are needed."""
    lists = "import encodings, importlib, sys; sys.path.insert(0, sys.argv[1]); importlib.import_module(sys.argv[2]); " \
            "print(encodings.__path__[0], *(file for module in sys.modules.values() if (file := getattr(module, '__file__', None))), sep='\\n')"
    listed = subprocess.run([python, "-B", "-c", lists, os.path.dirname(script), Path(script).stem], capture_output=True, text=True,
                            check=True, env={**os.environ, "ASYNCVM": ""})
    codecs, *files = [line for line in listed.stdout.splitlines() if line.startswith("/")]
    return [*files, *map(str, Path(codecs).glob("*.py"))]


def read(build, lane):
    """The tests of `build` that belong to this lane, from what Meson tells about them."""
    build = os.path.abspath(build)
    tests = []
    for test in json.loads((Path(build) / "meson-info/intro-tests.json").read_text()):
        suites = {suite.rpartition(":")[2] for suite in test["suite"]}
        if not LANES[lane] <= suites:
            continue
        command, environment = [os.path.realpath(test["cmd"][0]), *test["cmd"][1:]], dict(test["env"])
        for name in ("MALLOC_PERTURB_", "ASAN_OPTIONS", "UBSAN_OPTIONS"):
            environment.pop(name, None)
        programs = environment.pop("LINUX_PROGRAMS", "").split()
        environment.setdefault("TEST_PATIENCE", str(30 * SLOWER))
        named = [*command[1:], *environment.values()]
        files = [file for path in named if os.path.isabs(path) and os.path.exists(path) for file in _files_below(path)]
        if os.path.basename(command[0]).startswith("python"):
            files += _modules_of(*command[:2])
        why_not = "" if is_program(command[0]) else f"{command[0]} is no program that the machine could run"
        tests.append(Test(test["name"], command, environment, int(test["timeout"]) * SLOWER, files, programs, why_not))
    return tests


def probe(program):
    """The program's own table of what the machine's KVM can do."""
    return Test("probe", [program, "--probe"], {}, 60 * SLOWER, [])
