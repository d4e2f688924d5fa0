"""docs/tutorial.md works as it is written: what it shows is in docs/tutorial, its commands run one after the other, and print what
it says they print.

tutorial_test.py MESON BUILD PREFIX ROOT"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

SKIPPED = 77
SECONDS = 100
MARK = "-- block "


def blocks(page):
    """(language, text) of each, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, re.M | re.S)


def sessions(found):
    """(commands, what they print) of each; what they print is not said of all."""
    pairs = []
    for language, text in found:
        if language == "sh":
            pairs.append([text, None])
        elif language == "text":
            pairs[-1][1] = text
    return pairs


def fail(why):
    sys.exit(f"tutorial_test: {why}")


def check_code(found, folder):
    sources = {path.name: path.read_text() for path in sorted(folder.iterdir()) if path.is_file()}
    shown = [text for language, text in found if language == "cpp"]
    for text in shown:
        if not any(text in source for source in sources.values()):
            fail(f"no file of {folder} has this as it is:\n{text}")
    page = folder.with_suffix(".md").read_text()
    for name in sources:
        if f"tutorial/{name})" not in page:
            fail(f"the page does not lead to {name}")
    return len(shown)


def installed(meson, build, prefix, stage):
    """The environment of somebody who has installed asyncvm."""
    subprocess.run([meson, "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", stage], check=True,
                   stdout=subprocess.DEVNULL)
    root = stage + prefix
    metadata = next(Path(root).rglob("asyncvm-device.pc")).parent
    return {**os.environ, "PATH": f"{root}/bin:{os.environ['PATH']}", "PKG_CONFIG_PATH": str(metadata),
            "PKG_CONFIG_SYSROOT_DIR": stage}


def run(pairs, folder, environment):
    script = "".join(f"echo '{MARK}{number}'\n{commands}" for number, (commands, _) in enumerate(pairs))
    shell = subprocess.Popen(["bash", "-e", "-c", script], cwd=folder, env=environment, text=True, start_new_session=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    watchdog = threading.Timer(SECONDS, os.killpg, (shell.pid, signal.SIGKILL))
    watchdog.start()
    try:
        output, errors = shell.communicate()
    finally:
        watchdog.cancel()
    printed = re.split(rf"^{MARK}\d+\n", output, flags=re.M)[1:]
    for (commands, expected), found in zip(pairs, printed):
        if expected is not None and found != expected:
            fail(f"these commands\n{commands}\nshould print\n{expected}\nand print\n{found}\n{errors}")
    if shell.returncode != 0 or len(printed) != len(pairs):
        fail(f"exit code {shell.returncode} in\n{pairs[max(len(printed) - 1, 0)][0]}\n{errors}")
    return errors


def has_kvm():
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError:
        return False
    return True


meson, build, prefix, root = sys.argv[1:]
PAGE = (Path(root) / "docs/tutorial.md").read_text()
code = check_code(blocks(PAGE), Path(root) / "docs/tutorial")
with tempfile.TemporaryDirectory() as stage:
    shutil.copytree(Path(root) / "docs/tutorial", f"{stage}/docs/tutorial")
    environment = installed(meson, build, prefix, stage)
    pairs = sessions(blocks(PAGE if has_kvm() else PAGE.split("\n## 2. ")[0]))
    errors = run(pairs, stage, environment)
if not has_kvm():
    print("SKIP: no usable /dev/kvm: of the tutorial the first step was tried")
    sys.exit(SKIPPED)
said = " ".join(re.search(r"standard error: `([^`]*)`", PAGE)[1].split())
if said not in errors:
    fail(f"the last command should say\n{said}\non its standard error, and says\n{errors}")
print(f"{code} pieces of code, {len(pairs)} blocks of commands")
