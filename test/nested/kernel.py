"""The kernel of the emulated machine: Debian's own, downloaded once and kept in the cache folder."""
import fcntl
import lzma
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

META_PACKAGE = "linux-image-amd64"


class Missing(Exception):
    """What this host lacks; the reason for skipping."""


def cache_folder():
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asyncvm" / "nested"


def _run(*command, **options):
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout
    except FileNotFoundError:
        raise Missing(f"{command[0]} is not installed (this needs Debian's tools, or an unpacked kernel package: --kernel)") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise Missing(f"{command[0]} {command[1]} failed: {last}") from None


def _download(package, to):
    depends = _run("apt-cache", "depends", package)
    found = re.search(r"Depends: (linux-image-\S+)", depends)
    if not found:
        raise Missing(f"apt knows no package {package} (apt-get update may help)")
    with tempfile.TemporaryDirectory(dir=to.parent) as scratch:
        print(f"nested: downloading {found.group(1)} (once)", flush=True)
        _run("apt-get", "download", "-q", found.group(1), cwd=scratch)
        archive = next(Path(scratch).glob("*.deb"))
        _run("dpkg-deb", "-x", str(archive), f"{scratch}/root")
        archive.unlink()
        shutil.rmtree(to, ignore_errors=True)
        os.rename(f"{scratch}/root", to)


class Kernel:
    """An unpacked kernel package: the image, and modules by name."""

    def __init__(self, root):
        self.image = next(iter(sorted(root.glob("boot/vmlinuz-*"))), None)
        if self.image is None:
            raise Missing(f"there is no boot/vmlinuz-* in {root}")
        release = self.image.name.removeprefix("vmlinuz-")
        folders = [folder for folder in (root / "lib/modules" / release, root / "usr/lib/modules" / release) if folder.exists()]
        self._modules = {re.sub(r"\.ko.*", "", path.name).replace("_", "-"): path
                         for folder in folders for path in folder.rglob("*.ko*")}

    def module(self, name):
        """The module as an ELF file's bytes; None where it is built into the kernel."""
        path = self._modules.get(name.replace("_", "-"))
        if path is None:
            return None
        data = path.read_bytes()
        return lzma.decompress(data) if path.suffix == ".xz" else data

    def modules_for(self, names):
        """(name, bytes) of the modules and of what they depend on, in the order of loading."""
        order = {}

        def add(name):
            name = name.replace("_", "-")
            data = self.module(name)
            if name in order or data is None:
                return
            for depends in re.findall(rb"\0depends=([^\0]*)\0", data)[:1]:
                for other in filter(None, depends.decode().split(",")):
                    add(other)
            order[name] = data

        for name in names:
            add(name)
        return list(order.items())


def get(root=None, package=META_PACKAGE):
    """A Kernel: of `root`, or of the Debian package that `package` depends on. Raises Missing."""
    if root is not None:
        return Kernel(Path(root))
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests of several build directories may run at once
        unpacked = folder / ("kernel" if package == META_PACKAGE else f"kernel-{package}")
        if not unpacked.exists():
            _download(package, unpacked)
    return Kernel(unpacked)
