"""Breakpoints whose conditions asyncvm evaluates itself, and steps over a whole range of instructions."""
import shutil
import subprocess
import unittest

from breakpoints_test import GUESTS
from debugger import SPIN_32, SPIN_64, Case, Machine, main

RESUMES = "Sending packet: $vCont;"
INC, JMP = 0x10008, 0x10009  # of SPIN_32
# inc dword [0x20000]; jmp back to it
COUNTS_IN_MEMORY = b"\xff\x05\x00\x00\x02\x00\xeb\xf8"


def equals(register, value):
    """register == value, as gdb compiles it."""
    return b"\x26" + register.to_bytes(2, "big") + b"\x24" + value.to_bytes(4, "big") + b"\x13\x27"


def insert(address, *conditions, kind=0):
    return f"Z{kind},{address:x},1;" + "".join(f"X{len(code):x},{code.hex()}" for code in conditions)


class Conditions(Case):
    def interrupt(self, client):
        client.socket.sendall(b"\x03")
        self.assertTrue(client.receive().startswith("T02"))

    def test_the_nth_time(self):
        for mode, code, _ in GUESTS:
            # Of a part of a register gdb makes no bytecode.
            register = "(int)$rax" if mode == "64" else "$eax"
            for command in ("break", "hbreak"):
                with self.subTest(mode=mode, command=command), Machine(code, "--mode", mode, gdb=",wait") as machine:
                    text = machine.debug(f"{command} *{INC:#x} if {register} == 0x1334", "set debug remote 1", "continue",
                                         "set debug remote 0", f"p/x {register}", "info breakpoints", "kill")
                    self.assert_lines(text, "Breakpoint 1, ", "= 0x1334", "(target evals)", "already hit 1 time")
                    self.assertEqual(1, text.count(RESUMES), text)

    def test_what_has_to_be_asked_of_gdb(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug("set breakpoint condition-evaluation host", f"break *{INC:#x} if $eax == 0x1240", "continue", "p/x $eax",
                                 "delete", f"break *{INC:#x} if $ax == 0x1250", "set breakpoint condition-evaluation target", "continue",
                                 "p/x $eax", "info breakpoints", "kill")
            self.assert_lines(text, "Breakpoint 1, 0x", "= 0x1240", "Breakpoint 2, 0x", "= 0x1250", "(host evals)")

    def test_memory(self):
        with Machine(COUNTS_IN_MEMORY, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug("break *0x10006 if *(int *)0x20000 == 100", "continue", "p *(int *)0x20000",
                                 "condition 1 *(unsigned char *)0x20000 > 140", "continue", "p *(int *)0x20000", "info breakpoints",
                                 "kill")
            self.assert_lines(text, "Breakpoint 1, 0x", "= 100", "Breakpoint 1, 0x", "= 141", "(target evals)", "hit 2 times")

    def test_memory_that_is_not_there(self):
        for mode, code, _ in GUESTS[1:]:
            with self.subTest(mode=mode), Machine(code, "--mode", mode, gdb=",wait") as machine:
                text = machine.debug(f"break *{INC:#x} if *(int *)0xf0000000 == 1", "continue", "p/x $eax", "kill")
                self.assert_lines(text, "Error in testing", "Cannot access memory at address 0xf0000000", "= 0x1234")

    def test_two_at_one_address(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug(f"break *{INC:#x} if $eax == 0x1300", f"break *{INC:#x} if $eax == 0x1280", f"hbreak *{INC:#x} if $eax == 0x1290",
                                 *["continue", "p/x $eax"] * 3, "kill")
            self.assert_lines(text, "Breakpoint 2, 0x", "= 0x1280", "Breakpoint 3, 0x", "= 0x1290", "Breakpoint 1, 0x", "= 0x1300")

    def test_neighbours(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug(f"break *{INC:#x} if $eax == 0x1334", f"break *{JMP:#x} if $eax == 0x1334", *["continue", "p/x $eax"] * 2,
                                 "kill")
            self.assert_lines(text, "Breakpoint 2, 0x", "= 0x1334", "Breakpoint 1, 0x", "= 0x1334")

    def test_one_that_never_holds(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            # 0 is eax, 8 is eip
            self.assertEqual("OK", client.ask(insert(INC, equals(0, 0), equals(8, 1))))
            for _ in range(3):
                before = client.ask("g")[:8]
                client.send("vCont;c")
                self.interrupt(client)
                while client.ask("g")[:8] == before:
                    client.send("vCont;c")
                    self.interrupt(client)
                self.assertEqual("40eb", client.ask(f"m{INC:x},2"))

    def test_they_are_replaced_and_removed(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            for value in (0x1240, 0x1250):
                client.ask(insert(INC, equals(0, value)))
                self.assertTrue(client.ask("vCont;c").startswith("T05"))
                self.assertTrue(client.ask("g").startswith(value.to_bytes(4, "little").hex()))
            client.ask(insert(JMP, equals(0, 0x1260)))
            self.assertEqual("OK", client.ask(f"z0,{INC:x},1"))
            client.ask("vCont;c")
            self.assertTrue(client.ask("g").startswith("60120000"))
            # Without one it stops always.
            self.assertEqual("OK", client.ask(f"Z0,{JMP:x},1"))
            self.assertTrue(client.ask("vCont;c").startswith("T05"))
            self.assertTrue(client.ask("g").startswith("60120000"))

    def test_bytecode_that_is_no_condition_stops_the_guest(self):
        for code in (b"\x21\x00\x00", b"\x27", b"\x22\x01\x22\x00\x05\x27", b"\x26\xff\xff\x27", b"\x26\x00\x10\x27", b"\x34"):
            with self.subTest(code=code.hex()), Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine, machine.client() as client:
                client.ask("?")
                self.assertEqual("OK", client.ask(insert(INC, code)))
                self.assertTrue(client.ask("vCont;c").startswith("T05"))
                self.assertTrue(client.ask("g").startswith("34120000"))

    def test_a_reset(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug(f"break *{INC:#x} if $eax == 0x1240", "continue", "monitor reset", "maintenance flush register-cache",
                                 "p/x (int)$pc", "continue", "p/x $eax", "kill")
            self.assert_lines(text, "Breakpoint 1, 0x", "= 0x10000", "Breakpoint 1, 0x", "= 0x1240")

    def test_a_debugger_that_leaves(self):
        with Machine(SPIN_32, "--mode", "32") as machine:
            machine.debug(f"break *{INC:#x} if $eax == 0x1240", "detach")
            self.assert_goes_on(machine)
            with machine.client() as client:
                client.ask("?")
                client.ask(insert(INC, equals(8, 0)))
                client.send("vCont;c")
            self.assert_goes_on(machine)
            with machine.client() as client:
                client.ask("?")
                self.assertEqual("40eb", client.ask(f"m{INC:x},2"))

    def test_several_vcpus(self):
        for many in (False, True):
            with self.subTest(more_than_registers=many), Machine(SPIN_64, "--mode", "64", "--cpus", "2", gdb=",wait") as machine:
                # In front of the guest's code: an INT3 inside of an instruction would change what it does.
                others = [f"break *{address:#x} if $rax == 0x10000" for address in range(0xfff0, 0xfff5)] if many else []
                text = machine.debug(*others, f"break *{INC:#x} if $rax == 0x1254", "continue", "p/x $rax", "continue", "p/x $rax",
                                     "info threads", "kill")
                self.assert_lines(text, "hit Breakpoint", "= 0x1254", "hit Breakpoint", "= 0x1254")
                self.assertRegex(text, "Thread 1 .*hit Breakpoint")
                self.assertRegex(text, "Thread 2 .*hit Breakpoint")

    def test_an_access_is_made_once(self):
        # inc eax; out 0x10, al; jmp back to the inc; the device counts
        code = b"\x40\xe6\x10\xeb\xfb"
        with Machine(code, "--mode", "32", "--device", "counter,port=0x10", gdb=",wait") as machine:
            text = machine.debug("set $eax = 0", "break *0x10001 if $eax == 60", "continue", "monitor info regs", "p $eax", "kill")
            self.assert_lines(text, "Breakpoint 1, 0x", "= 60")


class Ranges(Case):
    def steps(self, code, *packets, mode="32"):
        """The program counter after each of these, and the answers."""
        with Machine(code, "--mode", mode, "--on-halt", "wait", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            seen = []
            for packet in packets:
                answer = client.ask(packet)
                if packet.startswith("vCont"):
                    seen.append((int.from_bytes(bytes.fromhex(client.ask("p8")), "little"), answer))
            return seen

    def place(self, *arguments, **options):
        seen = self.steps(*arguments, **options)
        for _, answer in seen:
            self.assertTrue(answer.startswith("T05"), answer)
        return [hex(place) for place, _ in seen]

    def test_to_its_end(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            self.assertIn(";r", client.ask("vCont?"))
        self.assertEqual(["0x10003", "0x10008"], self.place(SPIN_32, "vCont;r10000,10003:1", "vCont;r10003,10007:1"))
        # One that ends where it begins is one step.
        self.assertEqual(["0x10001", "0x10002"], self.place(SPIN_32, "vCont;r10000,10000:1", "vCont;r0,0:1"))

    def test_a_loop(self):
        # mov ecx, 500; dec ecx; jnz; nop
        code = b"\xb9\xf4\x01\x00\x00" + b"\x49\x75\xfd" + b"\x90\xf4"
        self.assertEqual(["0x10008"], self.place(code, "vCont;r10000,10008:1"))

    def test_a_call(self):
        # call 0x10010; nop ...; at 0x10010: nop; ret
        code = b"\xbc\x00\x00\x03\x00" + b"\xe8\x06\x00\x00\x00" + b"\x90" * 6 + b"\x90\xc3"
        self.assertEqual(["0x10010"], self.place(code, "vCont;r10000,1000c:1"))

    def test_breakpoints_within(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            client.ask(f"Z0,{INC:x},1")
            self.assertRegex(client.ask("vCont;r10000,1000b:1"), "(sw|hw)break")
            self.assertTrue(client.ask("g").startswith("34120000"))
            client.ask(f"z0,{INC:x},1")
            # In a loop for good, until the condition holds.
            client.ask(insert(JMP, equals(0, 0x1250)))
            self.assertRegex(client.ask("vCont;r10000,1000b:1"), "(sw|hw)break")
            self.assertTrue(client.ask("g").startswith("50120000"))

    def test_an_interrupt_of_the_user(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            while int.from_bytes(bytes.fromhex(client.ask("g")[:8]), "little") < 0x1240:
                client.send("vCont;r10000,1000b:1")
                client.socket.sendall(b"\x03")
                self.assertTrue(client.receive().startswith("T02"))
            self.assertTrue(client.ask("vCont;s:1").startswith("T05"))

    def test_an_interrupt_of_the_guest(self):
        # ds = ss = 0, sp = 0x8000; the vector of INT 0x20 leads to `handler`; int 0x20; nop; handler: iret
        start = b"\x31\xc0\x8e\xd8\x8e\xd0\xbc\x00\x80"
        handler = len(start) + 15
        code = (start + b"\xc7\x06\x80\x00" + bytes([handler, 0]) + b"\xc7\x06\x82\x00\x00\x10" + b"\xcd\x20\x90" + b"\xcf")
        at = 0x10000 + handler
        self.assertEqual([hex(at)], self.place(code, f"vCont;r10000,{at:x}:1", mode="16"))

    def test_another_vcpu_at_a_breakpoint(self):
        # test ebx, ebx; jnz 0x10006; jmp $; 0x10006: nop; jmp back to it
        code = b"\x85\xdb\x75\x02\xeb\xfe\x90\xeb\xfd"
        with Machine(code, "--mode", "32", "--cpus", "2", "--reg", "1:ebx=1", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            client.ask("Z0,10006,1")
            self.assertIn("thread:2;", client.ask("vCont;r10000,10006:1;c"))

    def test_gdb_steps_over_a_line(self):
        """A line of many instructions takes one packet."""
        tools = [shutil.which(name) for name in ("as", "ld")]
        if None in tools:
            raise unittest.SkipTest("there is no assembler")
        with Machine(b"\x90\xeb\xfd", "--mode", "32", gdb=",wait") as machine:
            source, elf = machine.file("lines.s"), machine.file("lines.elf")
            with open(source, "w", encoding="ascii") as file:
                file.write(".code32\n.globl _start\n_start: mov $9, %ecx; 1: inc %eax; dec %ecx; jnz 1b\nnop\nmov $77, %eax\n2: jmp 2b\n")
            subprocess.run([tools[0], "--32", "-g", "-o", elf + ".o", source], check=True)
            subprocess.run([tools[1], "-m", "elf_i386", "-Ttext", "0x10000", "-o", elf, elf + ".o"], check=True)
            text = machine.debug(f"file {elf}", "load", "set $pc = 0x10000", "set $eax = 0", "set debug remote 1", "step", "step", "step", "set debug remote 0", "p $eax", "kill")
            self.assert_lines(text, "nop", "mov", "jmp", "= 77")
            self.assertEqual(3, text.count(RESUMES + "r"), text)


if __name__ == "__main__":
    main()
