#!/bin/sh
# QEMU's virtconsole drops what a guest prints as soon as its client does not keep up, and tells the guest that all was sent.
#
# qemu-system-x86 1:7.2 (Debian 12). One would expect what a serial port of QEMU and its virtserialport do: the guest waits until
# there is room. Linux (6.1.192-2, Debian 12) writes 16 MiB to /dev/hvc0, which is a virtconsole behind a Unix socket, while the client
# is connected and reads nothing. The write succeeds, and the client, which then reads to the end, gets 100,352 bytes of it. The same
# 16 MiB through a virtserialport all arrive: there the guest waits for the client. A comparison of console speeds with QEMU's
# virtconsole is therefore one with a device that may drop, and has to count what arrives.
#
# Seen:
#   virtconsole: the guest's write ended before the client read; less than half arrived
#   virtserialport: the guest's write waited for the client; all arrived
#
# Needs: a Debian 12 system with apt, qemu-system-x86, busybox-static, python3. Exit codes: 0 as described, 1 it has changed, 2 the
# package can't be had.
set -eu
package=linux-image-6.1.0-56-cloud-amd64
version=6.1.192-2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
if ! apt-get download -q "$package=$version" >download.log 2>&1; then
    cat download.log >&2
    echo "$package $version can't be downloaded (apt-get update first? a newer version may have replaced it)" >&2
    exit 2
fi
dpkg-deb -x ./*.deb root

mkdir -p initrd/bin initrd/modules
cp "$(command -v busybox)" initrd/bin/busybox
number=0
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_console; do
    number=$((number + 1))
    cp "$(find root -name "$module.ko")" "initrd/modules/$number.ko"
done
cat >initrd/init <<'END'
#!/bin/busybox sh
/bin/busybox mkdir /proc /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*.ko; do /bin/busybox insmod "$module"; done
port=$(/bin/busybox sed 's/.*port=\([^ ]*\).*/\1/' /proc/cmdline)
while [ ! -c "/dev/$port" ]; do /bin/busybox sleep 1; done
case $port in hvc0) /bin/busybox stty -F /dev/hvc0 raw ;; esac
echo BEGIN >/dev/ttyS0
/bin/busybox dd if=/dev/zero of="/dev/$port" bs=65536 count=256 2>/dev/null && echo END >/dev/ttyS0
/bin/busybox poweroff -f
END
chmod +x initrd/init
(cd initrd && find . | busybox cpio -o -H newc 2>/dev/null) >initrd.cpio

cat >client.py <<'END'
"""Starts QEMU, is its port's client, and begins to read when the guest says END, or has said nothing for 30 seconds."""
import select
import socket
import subprocess
import sys

device, port = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(device)
listener.listen()
qemu = subprocess.Popen(
    ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-m", "256", "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
     "-kernel", sys.argv[0].replace("client.py", "vmlinuz"), "-initrd", "initrd.cpio", "-append", f"console=ttyS0 quiet port={port}",
     "-chardev", f"socket,id=stream,path={device}", "-device", "virtio-serial-pci", "-device", f"{device},chardev=stream"],
    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
client = listener.accept()[0]
lines = iter(qemu.stdout.readline, b"")
for line in lines:
    if b"BEGIN" in line:
        break
ended = bool(select.select([qemu.stdout], [], [], 30)[0]) and b"END" in qemu.stdout.readline()
received = 0
while True:
    piece = client.recv(1 << 20)
    if not piece:
        break
    received += len(piece)
qemu.wait(300)
print(received, file=sys.stderr)
write = "ended before the client read" if ended else "waited for the client"
arrived = "all" if received == 16 << 20 else "less than half" if received < 8 << 20 else "most"
print(f"{device}: the guest's write {write}; {arrived} arrived")
END
cp root/boot/vmlinuz-* vmlinuz
: >result
timeout 300 python3 client.py virtconsole hvc0 >>result
timeout 300 python3 client.py virtserialport vport0p1 >>result
echo "$(qemu-system-x86_64 --version | head -n 1), $package $version"
cat result
printf '%s\n' "virtconsole: the guest's write ended before the client read; less than half arrived" \
    "virtserialport: the guest's write waited for the client; all arrived" >expected
cmp -s result expected || {
    echo "this has changed" >&2
    exit 1
}
