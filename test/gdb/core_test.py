"""A real gdb opens core files, and readelf agrees with what they are."""
import os
import re
import shutil
import struct
import subprocess
import tempfile

import debugger
from debugger import Case, Machine, SPIN_16, SPIN_32, SPIN_64, main

# lidt [empty]; ud2
TRIPLE_FAULT = b"\x0f\x01\x1d\x0a\x00\x01\x00\x0f\x0b\xf4" + b"\x00" * 6


def look(core, *commands):
    """What gdb prints for these commands about a core file."""
    words = [word for command in commands for word in ("-ex", command)]
    done = subprocess.run([debugger.GDB, "-nx", "-batch", *words, "-c", core], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=debugger.PATIENCE)
    return done.stdout


class Cores(Case):
    def test_each_vcpu_is_a_thread_with_its_registers_and_the_memory_that_it_runs_in(self):
        for mode, code, bits in (("32", SPIN_32, "ELF32"), ("64", SPIN_64, "ELF64")):
            with Machine(code, "--mode", mode, "--cpus", "2", "--reg", "0:rbx=0xb0", "--reg", "1:rbx=0xb1", gdb=",wait") as machine:
                core = machine.file("core")
                said = machine.debug("thread 2", "break *0x10008", "continue", f"monitor core {core}", "kill")
                self.assert_lines(said, f"{core} has 128 MiB of memory")
                # Who has stopped at the breakpoint is on its way to 0x10008, or there; the other one is somewhere.
                text = look(core, "info threads", "x/i 0x10008", "thread 1", "p $rbx" if mode == "64" else "p $ebx", "thread 2",
                            "p/x $rbx" if mode == "64" else "p/x $ebx")
                self.assert_lines(text, "LWP 1", "LWP 2", "inc", "= 176", "= 0xb1")
                if shutil.which("readelf"):
                    elf = subprocess.run(["readelf", "-hln", core], check=True, capture_output=True, text=True).stdout
                    self.assertEqual(2, elf.count("NT_PRSTATUS"))
                    self.assert_lines(elf, bits, "CORE (Core file)", "LOAD")

    def test_a_guest_in_real_mode_has_linear_addresses(self):
        with Machine(SPIN_16, "--load", "0x20000", "--entry", "0x20000", gdb=",wait") as machine:
            core = machine.file("core")
            machine.debug("stepi", "stepi", f"monitor core {core}", "kill")
            code = machine.file("code")
            text = look(core, "p/x $pc", "x/6xb $pc - 2", f"dump binary memory {code} 0x20000 0x20004")
            self.assert_lines(text, "= 0x20002", "0x90", "0x90", "0x90")
            with open(code, "rb") as content:
                self.assertEqual(SPIN_16[:4], content.read())

    def test_one_of_a_crash_says_how_it_ended(self):
        with Machine(TRIPLE_FAULT, "--mode", "32", gdb=",wait") as machine:
            core = machine.file("core")
            machine.debug("continue", f"monitor core {core}", "continue")
            self.assertEqual(80, machine.ended()[0])
            self.assert_lines(look(core, "x/i 0x10007"), "LWP 1", "SIGSEGV", "ud2")
        with tempfile.TemporaryDirectory() as directory:
            core = os.path.join(directory, "core")
            with Machine(TRIPLE_FAULT, "--mode", "32", "--core", core) as machine:
                self.assertEqual(80, machine.ended()[0])
                self.assert_lines(look(core, "x/i 0x10007"), "SIGSEGV", "ud2")

    def test_linear_memory_is_what_the_guest_maps(self):
        # The pages of --mode 64, but for the last table: 2 MiB at 0x40000000 are those at 0.
        with Machine(SPIN_64, "--mode", "64", gdb=",wait") as machine:
            core = machine.file("core")
            tables = int(re.search("= (0x[0-9a-f]+)", machine.debug("p/x $cr3", "detach"))[1], 16)
            machine.debug("monitor phys on", f"set $pdpt = *(unsigned long*){tables} & ~0xfff",
                          "set $pd = *(unsigned long*)($pdpt + 8) & ~0xfff", "set *(unsigned long*)$pd = 0x83",
                          f"monitor core {core}", "kill")
            self.assert_lines(look(core, "x/i 0x40010008"), "inc")

    def test_x87_and_vectors(self):
        for mode, code in (("32", SPIN_32), ("64", SPIN_64)):
            with Machine(code, "--mode", mode, "--cpus", "2", gdb=",wait") as machine:
                core = machine.file("core")
                said = machine.debug("thread 2", "set $xmm1.v4_int32[3] = 77", "set $st0 = 2.5", "set $ftag = 0x3fff", "set $mxcsr = 0x1fa0",
                                     "set $ymm2.v8_int32[6] = 99", f"monitor core {core}", "kill")
                text = look(core, "thread 1", "p $xmm1.v4_int32", "thread 2", "p $xmm1.v4_int32", "info registers float", "p $mxcsr", "p $ymm2.v8_int32")
                self.assert_lines(text, "= {0, 0, 0, 0}", "= {0, 0, 0, 77}", "st0            2.5", "[ PE IM")
                self.assertEqual("not a structure" not in said, "= {0, 0, 0, 0, 0, 0, 99, 0}" in text, said + text)

    def test_what_a_linux_tells_those_who_read_its_dumps(self):
        told = b"OSRELEASE=6.1.0-asyncvm\nKERNELOFFSET=1f000000\n"
        note = struct.pack("<III12s", 11, len(told), 0, b"VMCOREINFO") + told
        for mode, code in (("32", SPIN_32), ("64", SPIN_64)):
            # In a page of its own.
            with Machine(code + bytes(0x3000 - len(code)) + note, "--mode", mode, gdb=",wait") as machine:
                core = machine.file("core")
                machine.debug(f"monitor core {core}", "kill")
                if shutil.which("readelf"):
                    elf = subprocess.run(["readelf", "-nW", core], check=True, capture_output=True, text=True).stdout
                    self.assert_lines(elf, "CORE", "QEMU", "VMCOREINFO", f"{len(told):#010x}")
                with open(core, "rb") as file:
                    self.assertIn(told, file.read(0x4000))
                self.assert_lines(look(core, "info threads"), "LWP 1")

    def test_what_can_not_be_written_is_told(self):
        with Machine(SPIN_64, "--mode", "64") as machine:
            self.assert_lines(machine.debug("monitor core", "monitor core /nowhere/core", "monitor help"),
                              "core needs the name of a file", "/nowhere/core: /nowhere: no such file or directory", "core FILE")


if __name__ == "__main__":
    main()
