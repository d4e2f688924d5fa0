"""What every image of the emulated machine has: its first process, busybox, kvm-amd, tap interfaces. And how its paging is chosen."""
from pathlib import Path

from image import Image

LANES = {"npt": "npt=1", "shadow": "npt=0", "linux": "npt=1"}
COMMANDS = "/commands.sh"  # what the first process runs


def bootable(busybox, linux, lane, modules=()):
    """An Image that boots; COMMANDS is missing. `linux`: a Kernel; `lane`: a key of LANES; `modules`: more of the kernel's."""
    disk = Image()
    disk.put("/init", Path(__file__).with_name("init").read_bytes(), 0o755)
    disk.put("/bin/busybox", Path(busybox).read_bytes(), 0o755)
    disk.link("/bin/sh", "busybox")
    disk.put("/etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n")
    disk.put("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    order = []
    for name, data in linux.modules_for(["kvm-amd", "tun", *modules]):
        disk.put(f"/modules/{name}.ko", data)
        order.append(f"{name} {LANES[lane]}" if name == "kvm-amd" else name)
    disk.put("/modules/order", ("\n".join(order) + "\n").encode())
    return disk
