"""Where and when this is measured."""
import datetime
import os
import platform
import shutil
import subprocess
from pathlib import Path


def usable_kvm():
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError:
        return False
    return True


def kvm_kind(modules=Path("/sys/module")):
    """kvm-intel, kvm-amd, kvm-pvm: the module that serves /dev/kvm. It may also be built in, and show nothing."""
    if not usable_kvm():
        return "none"
    names = sorted(path.name.replace("_", "-") for path in modules.glob("kvm_*"))
    return ", ".join(names) or "not known"


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "not known"


def commit(root):
    """Of the sources, or nothing where git does not know."""
    if not shutil.which("git"):
        return ""
    told = subprocess.run(["git", "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return told.stdout.strip()


def describe(root, build, rounds):
    return {
        "host": platform.node(),
        "KVM": kvm_kind(),
        "processor": f"{processor()}, {len(os.sched_getaffinity(0))} of them",
        "kernel": platform.release(),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": commit(root),
        "build": build,
        "rounds": rounds,
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }
