"""The Linux that tests boot as a guest: Debian's kernel for clouds, downloaded once, and an initial RAM disk with busybox.

guest.py FOLDER puts them there as vmlinuz and initrd, and prints what it did."""
import gzip
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "nested"))

import kernel  # noqa: E402
import machine  # noqa: E402
from image import Image  # noqa: E402

META_PACKAGE = "linux-image-cloud-amd64"
# pvpanic tells the monitor of a panic, which looks like an endless loop from outside.
MODULES = ["pvpanic-mmio"]


def initrd(busybox, linux):
    disk = Image()
    disk.put("/init", (HERE / "init").read_bytes(), 0o755)
    disk.put("/bin/busybox", Path(busybox).read_bytes(), 0o755)
    disk.link("/bin/sh", "busybox")
    for number, (name, data) in enumerate(linux.modules_for(MODULES)):
        disk.put(f"/modules/{number}-{name}.ko", data)
    return gzip.compress(disk.pack(), 1)


def get():
    """(kernel's path, bytes of the initial RAM disk). Raises kernel.Missing."""
    linux = kernel.get(package=META_PACKAGE)
    return linux.image, initrd(machine.check_tools(), linux)


def main():
    folder = Path(sys.argv[1])
    image, disk = get()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vmlinuz").write_bytes(image.read_bytes())
    (folder / "initrd").write_bytes(disk)
    print(f"{image.name}: {folder}/vmlinuz, {folder}/initrd")


if __name__ == "__main__":
    main()
