"""Boots the machine in QEMU and reads what it says on its serial port."""
import ctypes
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time

from kernel import Missing

QEMU = "qemu-system-x86_64"
# Without a line for so many seconds the machine is taken for dead. On an idle host it is never silent for more than a few.
SILENCE = 150
PR_SET_PDEATHSIG = 1


class Died(Exception):
    """The machine did not do what it should; its last lines are in the text."""


class Silent(Died):
    """It has stopped for good, as QEMU's emulated processors do now and then: the same may work a second time."""


def check_tools():
    if shutil.which(QEMU) is None:
        raise Missing(f"{QEMU} is not installed (apt-get install qemu-system-x86)")
    for path in ("/bin/busybox", "/usr/bin/busybox"):
        if os.path.exists(path) and "not a dynamic" in subprocess.run(["ldd", path], capture_output=True, text=True).stderr:
            return path
    raise Missing("a static busybox is not installed (apt-get install busybox-static)")


def die_with_parent():
    """A test that runs out of time is killed, and can't tidy up."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run(kernel, initrd, limit, memory=1536, processors=2, counted=False, silence=SILENCE, more=()):
    """Yields the lines of the machine's serial port until it turns itself off. Raises Died. `limit`: seconds. `counted`: the
    machine's clocks count instructions, one a nanosecond, and skip the time in which it is idle. `more`: options of QEMU."""
    # One thread for all its processors: with a thread each QEMU 7.2 now and then freezes a machine that uses SVM, most of all
    # with shadow paging; and one is no slower here.
    command = [QEMU, "-machine", "q35", "-accel", "tcg,thread=single", "-cpu", "EPYC", "-smp", str(processors), "-m", str(memory),
               "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
               "-kernel", str(kernel), "-initrd", str(initrd),
               # Grace periods of RCU are what making and closing a VM waits for.
               "-append", "console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off rcupdate.rcu_expedited=1", *more]
    if counted:
        command += ["-icount", "shift=0,sleep=off"]
    end = time.monotonic() + limit
    last = []
    complaints = tempfile.TemporaryFile()
    qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints,
                            preexec_fn=die_with_parent)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(qemu.stdout, selectors.EVENT_READ)
            rest = b""
            while True:
                patience = min(silence, end - time.monotonic())
                if patience <= 0 or not selector.select(patience):
                    why = f"nothing for {silence} s" if patience == silence else f"time limit of {limit} s"
                    raise (Silent if patience == silence else Died)(f"{why}; the last lines of its console:\n" + "\n".join(last))
                data = os.read(qemu.stdout.fileno(), 65536)
                *lines, rest = (rest + data).split(b"\n")
                for line in lines + ([rest] if not data and rest else []):
                    text = line.decode(errors="replace").replace("\r", "")
                    last = [*last[-19:], text]
                    yield text
                if not data:
                    break
        if qemu.wait(timeout=30) != 0:
            complaints.seek(0)
            said = [line for line in complaints.read().decode(errors="replace").splitlines() if "TCG doesn't support" not in line]
            raise Died(f"QEMU ended with {qemu.returncode}:\n" + "\n".join(said[-5:] + last))
    finally:
        if qemu.poll() is None:
            qemu.kill()
            qemu.wait()
