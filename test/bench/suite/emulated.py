"""The same cases in the machine that test/nested boots: kvm-amd on a processor that QEMU emulates. This script runs there, too."""
import json
import os
import secrets
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from . import boot, forms
from .running import Failed

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "test" / "nested"), str(ROOT / "test" / "linux")]
import bootable  # noqa: E402 (the path must be set first)
import guest  # noqa: E402
import image  # noqa: E402
import kernel  # noqa: E402
import machine  # noqa: E402

PROGRAMS = ["asyncvm", *(f"test/bench/{name}" for name in ("inside", "bare-exits", "bare-hand_over", "bare-remote", "bare-serial", "bare-many"))]
LIMIT = 2400  # seconds for everything; an idle host needs a fifth of it
MEMORY = 2048  # MiB
SILENCE = 900  # seconds: a row of case 7 boots Linux nine times before it says anything
# Nothing from a user's own configuration or packages.
PYTHON = [os.path.realpath(sys.executable), "-I", "-S", "-B"]
LISTS_ITS_MODULES = """
import sys
sys.path.insert(0, sys.argv[1])
from suite import main
main.arguments(["1"])
print(*(file for module in sys.modules.values() if (file := getattr(module, "__file__", None))), sep="\\n")
"""


def modules():
    """Files of the suite, and of the part of Python's library that it uses."""
    listed = subprocess.run([*PYTHON, "-c", LISTS_ITS_MODULES, str(ROOT / "test" / "bench")], capture_output=True, text=True,
                            check=True)
    return [file for file in listed.stdout.splitlines() if file.startswith("/")]


def commands(build, cases, rounds, peers, token):
    """What the machine's shell does. `peers`: program by option. A case that fails does not keep the next from being measured."""
    words = [*PYTHON, str(ROOT / "tools" / "bench"), "--emulated", "--build", str(build), "--rounds", str(rounds)]
    words += [word for option, program in peers.items() for word in (option, program)]
    script = [f"cd {shlex.quote(str(ROOT))}", "mount -t debugfs debugfs /sys/kernel/debug"]
    for case in cases:
        file = f"/tmp/{case}.json"
        command = shlex.join([*words, "--json", file, str(case)])
        script.append(f"{command} </dev/null 2>&1 >/tmp/table || {{ cat /tmp/table; echo 'bench: case {case} failed there'; }}; "
                      f"echo; echo '{token} results'; cat {file}; echo '{token} end'")
    return "\n".join([*script, f"echo '{token} done'", ""])


def pack(linux, busybox, build, cases, script, peers):
    disk = bootable.bootable(busybox, linux, "npt")
    programs = [PYTHON[0], *(str(build / name) for name in PROGRAMS), *peers.values()]
    files = [*modules(), str(ROOT / "tools" / "bench"), str(build / "meson-info" / "intro-buildoptions.json"),
             *map(str, sorted((build / "test" / "bench").glob("*.bin")))]
    for path in programs:
        disk.program(path)
    for path in files:
        disk.program(path) if image.is_program(path) else disk.file(path)
    if 7 in cases:
        add_linux(disk, peers)
    disk.put(bootable.COMMANDS, script.encode())
    return disk.pack()


def add_linux(disk, peers):
    """What a monitor boots, and what QEMU's microvm boots it with."""
    vmlinuz, initrd = guest.get()
    disk.put(boot.KERNEL, vmlinuz.read_bytes())
    disk.put(boot.INITRD, initrd)
    if "--qemu" in peers:
        for name in ("bios-microvm.bin", "kvmvapic.bin", "linuxboot_dma.bin"):
            for folder in ("/usr/share/qemu", "/usr/share/seabios"):
                if os.path.exists(file := f"{folder}/{name}"):
                    disk.put(f"/usr/share/qemu/{name}", Path(file).read_bytes())


def documents(lines, token, say):
    """The documents of the cases, each when it comes; everything else is for say(). Raises Failed where the end is missing."""
    text, finished = None, False
    for line in lines:
        if line == f"{token} results":
            text = []
        elif line == f"{token} end":
            if text:
                yield json.loads("\n".join(text))
            text = None
        elif line == f"{token} done":
            finished = True
        elif text is not None:
            text.append(line)
        else:
            say(line)
    if not finished:
        raise Failed("the emulated machine turned itself off before the last case had ended")


def merge(told, there):
    """Host and date are this host's, what is under the monitor is the machine's."""
    told["KVM"] = f"{there['KVM']}, emulated by QEMU TCG"
    told["processor"] = f"{there['processor']}, an instruction a nanosecond"
    told["kernel"] = there["kernel"]


def measured(build, cases, rounds, peers, told):
    """Each row, when its case has been measured. Fills `told` with what the machine is."""
    token = f"@{secrets.token_hex(8)}"
    try:
        busybox, linux = machine.check_tools(), kernel.get()
        with tempfile.NamedTemporaryFile(prefix="asyncvm-bench-") as initrd:
            initrd.write(pack(linux, busybox, build, cases, commands(build, cases, rounds, peers, token), peers))
            initrd.flush()
            # One processor: where several take turns in one thread, a spinning one keeps what it waits for from running.
            lines = machine.run(linux.image, initrd.name, LIMIT, MEMORY, processors=1, counted=True, silence=SILENCE)
            for document in documents(lines, token, lambda line: print(line, file=sys.stderr, flush=True)):
                merge(told, document["host"])
                yield from map(forms.row_of, document["rows"])
    except (kernel.Missing, machine.Died) as reason:
        raise Failed(str(reason)) from None
