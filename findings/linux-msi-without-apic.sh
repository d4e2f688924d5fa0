#!/bin/sh
# Linux without ACPI and without a local APIC warns at drivers/pci/msi/msi.h when a driver asks for MSI-X.
#
# linux-image-6.1.0-56-cloud-amd64 6.1.192-2 (Debian 12), started with acpi=off: Debian builds its kernels without MP tables
# (CONFIG_X86_MPPARSE), so that the kernel turns its local APIC off and stays with the two 8259A. No interrupt domain takes messages
# then. A driver that asks for MSI-X, as virtio_pci does, gets an error, and the kernel's log two warnings with a backtrace for each
# device. The driver goes on with INTx, and works. So this is nothing that the monitor does wrong: QEMU 7.2 shows the same.
#
# Seen:
#   WARNING at drivers/pci/msi/msi.h:17, drivers/pci/msi/msi.h:23; the disk's interrupt: XT-PIC virtio0
#
# Needs: a Debian 12 system with apt, qemu-system-x86, busybox-static. Exit codes: 0 as described, 1 it has changed, 2 the package can't
# be had.
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
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
    number=$((number + 1))
    cp "$(find root -name "$module.ko")" "initrd/modules/$number.ko"
done
cat >initrd/init <<'END'
#!/bin/busybox sh
/bin/busybox mkdir /proc /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*.ko; do /bin/busybox insmod "$module"; done
/bin/busybox dd if=/dev/vda of=/dev/null bs=512 count=1
/bin/busybox grep virtio /proc/interrupts
/bin/busybox reboot -f
END
chmod +x initrd/init
(cd initrd && find . | busybox cpio -o -H newc 2>/dev/null) >initrd.cpio
truncate -s 1M disk.img
timeout 300 qemu-system-x86_64 -M pc -accel tcg -m 256 -nodefaults -no-reboot -display none -serial stdio \
    -kernel root/boot/vmlinuz-* -initrd initrd.cpio -append 'console=ttyS0 acpi=off' \
    -drive if=none,id=d,file=disk.img,format=raw -device virtio-blk-pci,drive=d,disable-legacy=on </dev/null >log 2>&1 || true

places=$(sed -n 's/.*WARNING: .* at \(drivers\/pci\/msi\/msi\.h:[0-9]*\) .*/\1/p' log | sort -u | paste -s -d , | sed 's/,/, /g')
interrupt=$(tr -d "\r" <log | sed -n "s/^ *[0-9]*: .* \(XT-PIC\|PCI-MSI\)  *\(virtio0.*\)/\1 \2/p")
result="WARNING at $places; the disk's interrupt: $interrupt"
echo "$package $version, $(qemu-system-x86_64 --version | head -n 1)"
echo "$result"
[ "$result" = "WARNING at drivers/pci/msi/msi.h:17, drivers/pci/msi/msi.h:23; the disk's interrupt: XT-PIC virtio0" ] || {
    echo "this has changed" >&2
    tail -n 40 log >&2
    exit 1
}
