#!/bin/sh
# A change of medium that QEMU refuses may leave the drive empty: the old medium is gone, and the tray is open.
#
# qemu-system-x86 1:7.2 (Debian 12). A CD drive has a.iso; blockdev-change-medium is to give it disk.img, which is the disk of the same
# machine and therefore locked. The command fails with 'Failed to get shared "write" lock', and one would expect the drive to have a.iso
# as before. But the file could be opened, so QEMU has ejected a.iso by then, and finds the lock when it inserts the new one. For a file
# that can't be opened at all the old medium stays.
#
# Seen:
#   a file that does not exist is refused: the drive has a.iso
#   a file that is in use is refused: the drive is empty, its tray open
#
# Needs: qemu-system-x86, python3. Exit codes: 0 as described, 1 it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
truncate -s 1M a.iso disk.img
cat >client.py <<'END'
import json
import socket
import subprocess

qemu, ours = socket.socketpair()
machine = subprocess.Popen(
    ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-nodefaults", "-display", "none", "-S",
     "-chardev", f"socket,id=control,fd={qemu.fileno()}", "-mon", "chardev=control,mode=control",
     "-drive", "if=virtio,file=disk.img,format=raw", "-drive", "if=ide,media=cdrom,id=cd,file=a.iso,format=raw"],
    pass_fds=[qemu.fileno()])
qemu.close()
lines = ours.makefile("rw")
lines.readline()


def ask(command, **arguments):
    lines.write(json.dumps({"execute": command, "arguments": arguments}))
    lines.flush()
    for line in lines:
        answer = json.loads(line)
        if "event" not in answer:
            return answer


ask("qmp_capabilities")
for name, what in (("absent.iso", "does not exist"), ("disk.img", "is in use")):
    refused = "error" in ask("blockdev-change-medium", device="cd", filename=name, format="raw", **{"read-only-mode": "read-only"})
    drive = next(one for one in ask("query-block")["return"] if one["device"] == "cd")
    has = f"has {drive['inserted']['file']}" if "inserted" in drive else "is empty"
    print(f"a file that {what} is {'refused' if refused else 'taken'}: the drive {has}{', its tray open' if drive['tray_open'] else ''}")
ask("quit")
machine.wait(30)
END
timeout 60 python3 client.py >result
qemu-system-x86_64 --version | head -n 1
cat result
printf '%s\n' "a file that does not exist is refused: the drive has a.iso" \
    "a file that is in use is refused: the drive is empty, its tray open" >expected
cmp -s result expected || {
    echo "this has changed" >&2
    exit 1
}
