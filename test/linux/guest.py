"""The Linux that tests boot as a guest: Debian's kernel for clouds, downloaded once, an initial RAM disk with busybox, and a disk
with a root file system.

guest.py FOLDER [PROGRAM]... puts them there as vmlinuz, initrd (with these programs, which are static, in /bin) and root.img, the
newest kernel and its RAM disk as newer/vmlinuz and newer/initrd, and prints what it did."""
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "nested"))

import kernel  # noqa: E402
import machine  # noqa: E402
from image import Image  # noqa: E402

META_PACKAGE = "linux-image-cloud-amd64"
NEWER_PACKAGE = "linux-image-6.12-cloud-amd64"
# pvpanic tells the monitor of a panic, which looks like an endless loop from outside.
MODULES = ["pvpanic-mmio", "virtio-mmio", "virtio_pci", "virtio_balloon", "virtio-blk", "virtio-net", "vmw-vsock-virtio-transport", "virtio-rng", "virtio_console", "virtiofs"]


def initrd(busybox, linux, programs):
    disk = Image()
    disk.put("/init", (HERE / "init").read_bytes(), 0o755)
    disk.put("/bin/dhcp-answer", (HERE / "dhcp-answer").read_bytes(), 0o755)
    disk.put("/bin/busybox", Path(busybox).read_bytes(), 0o755)
    disk.link("/bin/sh", "busybox")
    for program in programs:
        disk.put(f"/bin/{Path(program).name}", Path(program).read_bytes(), 0o755)
    for number, (name, data) in enumerate(linux.modules_for(MODULES)):
        disk.put(f"/modules/{number:02}-{name}.ko", data)
    return gzip.compress(disk.pack(), 1)


def root_disk(busybox):
    """A disk with ext4, with busybox and a shell as its init. Raises kernel.Missing."""
    mke2fs = shutil.which("mke2fs", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if mke2fs is None:
        raise kernel.Missing("mke2fs is not installed (Debian: e2fsprogs)")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "root"
        for folder in ("bin", "sbin", "proc", "sys", "dev"):
            (root / folder).mkdir(parents=True)
        shutil.copy(busybox, root / "bin/busybox")
        (root / "bin/sh").symlink_to("busybox")
        shutil.copy(HERE / "root-init", root / "sbin/init")
        (root / "sbin/init").chmod(0o755)
        disk = Path(scratch) / "root.img"
        subprocess.run([mke2fs, "-q", "-t", "ext4", "-d", str(root), str(disk), "16M"], check=True)
        return disk.read_bytes()


def get(programs=()):
    """(kernel's path, bytes of the initial RAM disk). Raises kernel.Missing."""
    linux = kernel.get(package=META_PACKAGE)
    return linux.image, initrd(machine.check_tools(), linux, programs)


def get_newer(programs=()):
    """The same of the newest kernel; of the usual one on a Debian that has none besides it."""
    try:
        linux = kernel.get(package=NEWER_PACKAGE)
    except kernel.Missing as reason:
        print(f"# no newer kernel, the usual one in its place: {reason}", flush=True)
        return get(programs)
    return linux.image, initrd(machine.check_tools(), linux, programs)


def files(programs=()):
    """All of it, by name. Raises kernel.Missing."""
    found = {}
    for folder, (image, disk) in (("", get(programs)), ("newer/", get_newer(programs))):
        found[f"{folder}vmlinuz"] = image.read_bytes()
        found[f"{folder}initrd"] = disk
    found["root.img"] = root_disk(machine.check_tools())
    return found


def main():
    folder = Path(sys.argv[1])
    for name, data in files(sys.argv[2:]).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        print(f"{folder}/{name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
