#include "cli/options.hpp"

namespace asyncvm::cli {

std::string help_text() {
    return R"(usage: asyncvm [options] GUEST
       asyncvm inspect [options] GUEST   tell what the file is and where it would go
       asyncvm ctl PATH COMMAND     tell a machine something through its --control socket
       asyncvm top PATH             what its devices do, again and again
       asyncvm trace FILE           what a --trace tells, in numbers or as a picture
       asyncvm --device help        list the devices
       asyncvm --device NAME,help   explain one

Runs the x86 program in the file GUEST ("-" is the standard input) in a virtual
machine of its own, with Linux KVM, or in software where there is none. A kernel
(Linux bzImage, Multiboot, PVH, ELF) starts as its header says, anything else is a
flat binary.

Examples:
  asyncvm guest.bin                         its serial port is this terminal
  asyncvm --serial tcp:4444 guest.bin       ... is on a socket: nc localhost 4444
  asyncvm --serial tcp:4444,wait guest.bin  the same; the guest waits for nc
  asyncvm --serial null --debugcon file:out.txt guest.bin
  asyncvm --mode 64 --memory 1G guest64.bin
  asyncvm --load 0x1000 --reg ax=2 --reg bx=2 sum.bin
  asyncvm --serial tcp:4444 vmlinuz --initrd initrd.gz --append console=ttyS0

The guest, if it is a kernel:
  --append TEXT           its command line
  --initrd FILE           its initial RAM disk
  --module FILE[,ARGS]    a Multiboot or PVH module; can be repeated
  --format FORMAT         what the file is, if not what it says: flat, elf, pvh,
                          multiboot, multiboot2, bzimage, boot, firmware
  --firmware FILE         what the processor starts after a reset, in place of GUEST:
                          64 to 256 KiB that end at 4 GiB, such as SeaBIOS

If it is a flat binary:
  --load ADDR             where the file is loaded (default 0x10000)
  --entry ADDR            where the guest starts (default: where it is loaded)
  --mode 16|32|64         real mode (default), flat 32-bit protected mode, or long
                          mode with the first 4 GiB mapped one to one
  --reg [CPU:]NAME=VALUE  what a register starts with; can be repeated

The machine:
  --machine flat|pc       memory and devices only (default for flat binaries), or a PC
                          with interrupt controllers, timers and ACPI (for kernels)
  --transport mmio|pci    where a guest finds its virtio devices: each in a page of
                          memory (default), or on a PCI bus
  --reboot exit|restart   when the guest resets itself: end (default), or start anew
  --on-halt exit|fail|wait
                          when all vCPUs have halted for good: end with 0 (default of
                          the flat machine), with 86 (of the pc machine), or go on
  --gdb SPEC, -s, -S      a place where gdb may come: tcp:[HOST:]PORT, unix:PATH or stdio,
                          with the options wait (the guest begins when gdb lets it) and
                          mode=16|32|64; -s is --gdb tcp:1234, and -S adds wait
                          (or, with --control alone, waits for cont)
  --on-crash gdb|exit     whether a guest that has crashed stays for gdb (default: for
                          one that is attached)
  --core FILE             a guest that has crashed is written to this file, for gdb and
                          crash
  -m, --memory SIZE       the guest's memory (default 128M)
  --hugepages off|on|reserved
                          pages of 2 MiB for it: none (default of the flat machine),
                          what the host gives (of the pc machine), or those that the
                          host has set aside
  --memory-share on|off   let other processes map it (default off)
  --cpus N, --smp N       how many vCPUs (default 1); on the flat machine all start
                          at the entry
  --cpu -NAME[,+NAME]...  features of the processor that the guest does not see, or
                          can't do without; names as in /proc/cpuinfo
  --irqchip on|off        interrupt controllers (PIC, IOAPIC, local APICs) and a timer
                          (PIT) for the flat machine, in the kernel (default off);
                          with KVM only
  --accel kvm|unicorn|auto
                          what runs the guest: KVM, Unicorn (software: slower, without
                          interrupts), or KVM where it can be used (default)
  --posted-writes on|off  collect bursts of writes that need no answer (default), or
                          stop the guest for each: all are exits, and in the report
  --rng                   an entropy device (virtio-rng)
  --balloon               memory that the guest does not use goes back to the host
                          (virtio-balloon)
  --disk FILE[,OPTION]... a disk (virtio-blk): a raw image, a block device, or
                          nbd:unix:PATH; options ro, snapshot, serial=ID and
                          cache=writeback|none; can be repeated. The first one of a
                          boot sector is what it reads (default: GUEST itself).
                          vhost-user:PATH[,queues=N]: another process serves it
  --net SPEC[,mac=MAC][,mtu=BYTES]
                          a network card (virtio-net): user (through passt), tap[=NAME],
                          stream:unix:PATH or stream:tcp:HOST:PORT (with ,server: the
                          listening side), dgram:unix:PATH,remote=PATH, or
                          vhost-user:PATH; can be repeated
  --fs PATH,tag=NAME      a file system of the host, which virtiofsd serves at the socket
                          PATH (virtio-fs); can be repeated
  --vsock unix:PATH[,cid=N]
                          sockets between the guest and programs of the host
                          (virtio-vsock); the guest's address is 3 unless given
  --device NAME[,KEY=VALUE]...
                          add a device, or configure a default one; can be repeated.
                          ./FILE.so: a device that was built apart from asyncvm;
                          record=FILE,NAME...: write down what it and the guest do;
                          replay=FILE: answer as it did
  --no-defaults           no device but those that are named: no serial port without
                          --serial, no debug console, counter, exit port ...

Where bytes go and come from:
  --serial SPEC           COM1; given again COM2, COM3, COM4 (default stdio)
  --console SPEC          a virtio console, Linux's hvc0; given again hvc1 to hvc7
  --virtio-port NAME=SPEC a virtio port, which programs of the guest find by NAME
                          (/dev/virtio-ports/NAME); can be repeated
  --debugcon SPEC         debug console, ports 0xe9, 0xf1, 0x402 (default stdio)

SPEC is one of these, with options after commas (a comma in a path is doubled):
  stdio                   this terminal: Ctrl-A x ends, Ctrl-A c shows help
  tcp:[HOST:]PORT         listen, on loopback unless HOST says otherwise; for an IPv6
                          address tcp:[::1]:4444; port 0 picks one and prints it
  unix:PATH               listen on a socket file
  pty                     a new pseudo-terminal; its name is printed
  file:PATH               write to a file
  null                    nowhere (none and off mean the same)
and the options are:
  client                  connect instead of listening, again and again
                          (reconnect=SECONDS, default 1)
  wait                    start the guest when a client has connected
  telnet                  speak telnet (tcp only); leave it off for netcat
  backlog=SIZE            how much output is kept for a slow or absent client (1M)
  full=wait|drop          when that is full: the guest waits (default), or the oldest
                          output is dropped
  history=SIZE            show each new client that much of the last output again
  linger=SECONDS          how long to wait at the end until all is delivered
                          (default: until it is, 2 for a full disk; 0: not at all)
  log=FILE                copy all output to a file
  link=PATH               make a symbolic link to the pseudo-terminal (pty only)
  cols=N,rows=N           --console: the terminal's size, if the other end tells none
  append                  add to the file (file:, log=), keep what is in it

Other options:
  --control unix:PATH|fd:N
                          a socket for programs that watch and steer the machine, as
                          QEMU's QMP; fd: a socket that this process has inherited
  --metrics tcp:[HOST:]PORT|unix:PATH
                          what --stats counts, for a Prometheus server to scrape
  --trace FILE            write a timeline of vCPUs, devices and streams, for
                          ui.perfetto.dev; NAME.json: in Chrome's format
  --probe                 try what this host's KVM can do, print it and end: with code 72
                          where there is no usable KVM; needs no GUEST
  --probe-lines           the same for scripts: lines NAME=yes and NAME=no WHY
  --stats                 count the guest's exits, device by device, and their times;
                          print at the end and at each SIGUSR1
  -v, --verbose           print at the end how the guest ended, how many accesses
                          found no device and where, what each vCPU halted with
  -h, --help              show this text
  --version               show the version

SIZE and ADDR are numbers (42, 0x2a, 0b101010, 0o52) and may end in K, M or G.
An option that can't be repeated counts as it was given last.

Signals: the first SIGINT, SIGTERM or SIGHUP shows where the guest is, stops it and
ends in order; one half a second or more later ends at once. SIGQUIT shows where the
guest is, and it goes on. SIGUSR1 shows statistics, with --stats.

Exit codes:
  0        the guest halted, or powered its machine off
  0-255    what the guest wrote to its exit port: (value << 1) | 1, which is odd, or
           the value itself with --device exit,code=exact
  64       a wrong option               66  the guest's file can't be used
  70       KVM can't run the guest      72  /dev/kvm, memory, a socket, ... is missing
  80       triple fault                 82  the guest asked for a reset
  84       the guest reported its crash 86  it halted for good, with --on-halt fail
  88       asyncvm ctl: the machine has refused the command
  90       the guest differs from a recording (--device replay=FILE,strict=on)
  128+N    ended by signal N: 130 for Ctrl-C (and Ctrl-A x), 143 for SIGTERM
)";
}

}  // namespace asyncvm::cli
