"""dprintfs that asyncvm carries out itself: each line once, in order, and without a stop."""
import os
import re
import socket
import tempfile

from breakpoints_test import GUESTS
from conditions_test import INC, JMP, RESUMES, equals, insert
from debugger import PATIENCE, SPIN_32, SPIN_64, Case, Machine, main

AGENT = "set dprintf-style agent"


def prints(form, *registers, persist=False, conditions=()):
    """dprintf with these registers as gdb compiles it."""
    code = b"".join(b"\x26" + register.to_bytes(2, "big") for register in reversed(registers))
    text = form.encode() + b"\0"
    code += b"\x22\x00\x22\x00\x34" + bytes([len(registers)]) + len(text).to_bytes(2, "big") + text + b"\x27"
    holding = "".join(f"X{len(one):x},{one.hex()}" for one in conditions)
    return (";" + holding if holding else "") + f";cmds:{int(persist)},X{len(code):x},{code.hex()}"


class Shown:
    """What a client of the protocol has been shown on its way to a stop."""

    def __init__(self, client):
        self.client = client
        self.text = ""

    def stop(self):
        """The next stop."""
        while (reply := self.client.receive()).startswith("O"):
            self.text += bytes.fromhex(reply[1:]).decode("latin-1")
        return reply

    def go_on(self, packet="vCont;c"):
        self.client.send(packet)
        return self.stop()


class Dprintf(Case):
    def assert_shows(self, text, lines):
        self.assertEqual(list(map(str, lines)), re.findall(r"^(\d+)$", text, re.M), text)

    def test_each_mode(self):
        for mode, code, _ in GUESTS:
            register = {"16": "(int)$eax & 0xffff", "32": "$eax", "64": "(int)$rax"}[mode]
            with self.subTest(mode=mode), Machine(code, "--mode", mode, gdb=",wait") as machine:
                after = INC + (2 if mode == "64" else 1)
                text = machine.debug(AGENT, fr'dprintf *{INC:#x},"%d\n",{register}', f"break *{after:#x} if ({register}) == 0x1240",
                                     "set debug remote 1", "continue", "set debug remote 0", "info breakpoints", "kill")
                self.assert_shows(text, range(0x1234, 0x1240))
                self.assert_lines(text, "4671", "Breakpoint 2, ", "agent-printf")
                self.assertEqual(1, text.count(RESUMES), text)

    def test_conversions_and_memory(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug(AGENT, "set *(int *)0x20000 = -5", "set *(int *)0x20004 = 0x6f6c6548", "set *(char *)0x20008 = 0",
                                 fr'dprintf *{INC:#x},"%d %#x %c|%-6s|%p %lu %lld \"\t%%\n",*(int *)0x20000,$eax,66,0x20004,$eip,$eax,$eax',
                                 fr'dprintf *{JMP:#x},"%s,%d\n",0xf0000000,*(int *)0xf0000000',
                                 "stepi 5", "kill")
            self.assert_lines(text, '-5 0x1234 B|Helo  |0x10008 4660 4660 "\t%\n',
                              f"<dprintf at {JMP:#x}: Cannot access memory at address 0xf0000000>\n")

    def test_a_text_that_is_not_there(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug(AGENT, fr'dprintf *{INC:#x},"<%s>\n",0xf0000000', f"break *{JMP:#x}", "continue", "kill")
            self.assert_lines(text, "<<error: Cannot access memory at address 0xf0000000>>\n", "Breakpoint 2")

    def test_conditions(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug(AGENT, fr'dprintf *{INC:#x},"%d\n",$eax', "condition 1 $eax % 4 == 0", f"break *{JMP:#x} if $eax == 0x1240",
                                 "continue", "kill")
            self.assert_shows(text, range(0x1234, 0x1240, 4))

    def test_two_at_one_address(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug(AGENT, fr'dprintf *{INC:#x},"%d\n",$eax', fr'dprintf *{INC:#x},"%d\n",$eax + 10000',
                                 "condition 1 $eax % 3 == 0", "condition 2 $eax % 2 == 0", f"break *{JMP:#x} if $eax == 0x1240",
                                 "continue", "kill")
            self.assert_shows(text, [value + more for value in range(0x1234, 0x1240)
                                     for more, every in ((0, 3), (10000, 2)) if value % every == 0])

    def test_more_than_registers(self):
        for cpus in ("1", "2"):
            with self.subTest(cpus=cpus), Machine(SPIN_32, "--mode", "32", "--cpus", cpus, gdb=",wait") as machine:
                places = (0x10000, 0x10001, 0x10002, 0x10003, INC, JMP)
                text = machine.debug(AGENT, *(fr'dprintf *{place:#x},"%d\n",$eip' for place in places), "set scheduler-locking on",
                                     "stepi 9", "kill")
                self.assert_shows(text, [*places[1:], INC, JMP, INC, JMP])

    def test_what_gdb_can_t_compile_is_told_and_left_out(self):
        # As it behaves then: a breakpoint without commands, from which it goes on and neither steps nor removes it.
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            self.assertEqual("OK", client.ask(insert(INC)))
            self.assertEqual("OK", client.ask(insert(JMP, equals(0, 0x1240))))
            shown, places = Shown(client), []
            while not places or (places[-1] == INC and len(places) < 100):
                self.assertTrue(shown.go_on().startswith("T05"))
                places.append(int.from_bytes(bytes.fromhex(client.ask("p8")), "little"))
            self.assertEqual(JMP, places[-1])
            self.assertTrue(client.ask("g").startswith("40120000"))
            self.assertIn(f"<dprintf at {INC:#x}: gdb has no bytecode for it", shown.text)
            self.assertEqual(1, shown.text.count("no bytecode"))

    def test_floating_point_is_told(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug(AGENT, fr'dprintf *{INC:#x},"%f\n",$eax', f"break *{JMP:#x}", "continue", "kill")
            self.assert_lines(text, f"<dprintf at {INC:#x}: the format: %f is floating point", "Breakpoint 2, ")

    def test_gdb_s_own_style(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug(fr'dprintf *{INC:#x},"%d\n",$eax', f"break *{JMP:#x} if $eax == 0x1240", "continue", "kill")
            self.assert_shows(text, range(0x1234, 0x1240))

    def test_a_breakpoint_at_its_address_stops(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug(AGENT, fr'dprintf *{INC:#x},"%d\n",$eax', f"break *{INC:#x}", *["continue"] * 3, "p $eax", "kill")
            self.assert_lines(text, *["Breakpoint 2, "] * 3, "= 4662")

    def test_a_reset(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug(AGENT, fr'dprintf *{INC:#x},"%d\n",$eax', f"break *{JMP:#x} if $eax == 0x1236", "continue",
                                 "monitor reset", "maintenance flush register-cache", "continue", "kill")
            self.assert_shows(text, [0x1234, 0x1235] * 2)

    def test_whenever_the_guest_is_stopped(self):
        for cpus in (1, 2):
            with self.subTest(cpus=cpus), Machine(SPIN_64, "--mode", "64", "--cpus", str(cpus), "--reg", f"{cpus - 1}:rbx=1",
                                                  gdb=",wait") as machine, machine.client() as client:
                client.ask("?")
                shown = Shown(client)
                self.assertEqual("OK", client.ask(f"Z0,{INC:x},1" + prints("%lu %lu\\n", 1, 0)))
                for _ in range(40):
                    client.send("vCont;c")
                    while len(shown.text) < 10:
                        reply = client.receive()
                        self.assertEqual("O", reply[0], reply)
                        shown.text += bytes.fromhex(reply[1:]).decode()
                    client.socket.sendall(b"\x03")
                    self.assertTrue(shown.stop().startswith("T02"))
                seen = {}
                for line in shown.text.splitlines():
                    cpu, value = map(int, line.split())
                    self.assertEqual(seen.get(cpu, 0x1234), value, line)
                    seen[cpu] = value + 1
                # Stopped at once each time, it may always be the same vCPU that has had its turn.
                self.assertLessEqual(set(seen), set(range(cpus)) if cpus > 1 else {1})

    def test_when_gdb_is_gone(self):
        with Machine(SPIN_32, "--mode", "32") as machine:
            with machine.client() as client:
                client.ask("?")
                # The first goes along with the debugger.
                self.assertEqual("OK", client.ask(f"Z0,{JMP:x},1" + prints("transient\\n")))
                self.assertEqual("OK", client.ask(f"Z0,{INC:x},1" + prints("at %d,\\t\\x1b\\n".replace("\\x1b", "\\e"), 0, persist=True)))
                client.send("vCont;c")
                client.receive()
            said = machine.wait_for("dprintf: at ")
            first = int(re.search(r"dprintf: at (\d+),\t\\x1b$", said, re.M)[1])
            # Until it is noticed that gdb is gone, both print.
            for number in range(first + 1, first + 10000):
                said = machine.wait_for("dprintf: at ")
                self.assertIn(f"dprintf: at {number},", said)
                if "transient" not in said:
                    break
            # Whoever comes brings breakpoints of their own.
            with machine.client() as client:
                client.ask("?")
                self.assertEqual("OK", client.ask(f"Z0,{JMP:x},1"))
                self.assertTrue(Shown(client).go_on().startswith("T05"))
                for _ in range(3):
                    self.assertTrue(client.ask("vCont;s").startswith("T05"))
                client.ask("D")
            machine.process.kill()
            self.assertNotIn("transient", machine.process.communicate()[1])

    def test_who_does_not_read_loses_lines_that_are_counted_and_holds_nobody_up(self):
        # mov esi, 0x30000; mov ecx, 4000; loop: dec ecx; jnz loop; mov dx, 0x2f8; mov al, 'x'; out dx, al; nop; jmp $
        code = b"\xbe\x00\x00\x03\x00" + b"\xb9\xa0\x0f\x00\x00" + b"\x49\x75\xfd" + b"\x66\xba\xf8\x02\xb0\x78\xee" + b"\x90\xeb\xfe"
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "com2")
            with Machine(code, "--mode", "32", "--serial", f"unix:{path}", gdb=",wait") as machine, machine.client() as client:
                client.ask("?")
                client.ask(f"M30000,3e8:{'78' * 1000}")
                client.ask("Z0,1000a,1" + prints("%d:%s\\n", 1, 6))
                client.ask("Z1,10014,1")
                with socket.socket(socket.AF_UNIX) as com2:
                    com2.settimeout(PATIENCE)
                    com2.connect(path)
                    client.send("vCont;c")
                    self.assertEqual(b"x", com2.recv(1))
                shown = Shown(client)
                self.assertTrue(shown.stop().startswith("T05"))
        lines = re.findall(r"^(\d+):x{1000}$", shown.text, re.M)
        missing = re.findall(r"^<lines of dprintf missing here: (\d+); they came faster than they could be shown>$", shown.text, re.M)
        self.assertEqual(len(shown.text.splitlines()), len(lines) + len(missing))
        self.assertEqual(4000, len(lines) + sum(map(int, missing)))
        self.assertGreater(len(lines), 1000)
        self.assertGreater(sum(map(int, missing)), 0)
        self.assertEqual(sorted(map(int, lines), reverse=True), list(map(int, lines)))

    def test_bytecode_that_is_no_dprintf(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            shown = Shown(client)
            client.ask(f"Z1,{JMP:x},1")
            self.assertTrue(shown.go_on().startswith("T05"))
            client.ask(f"z1,{JMP:x},1")
            for code in ("34", "27", "210000", "2201220005", "26ffff220022003401000325640027", "220122003400000178", "22002200340000000027"):
                self.assertEqual("OK", client.ask(f"Z0,{INC:x},1;cmds:0,X{len(code) // 2:x},{code}"))
                for _ in range(2):
                    self.assertTrue(shown.go_on("vCont;s").startswith("T05"))
            self.assertEqual(6, shown.text.count(f"<dprintf at {INC:#x}: "), shown.text)
            self.assertEqual("E16", client.ask(f"Z0,{INC:x},1;cmds:0,X2,27"))

    def test_a_condition_that_can_t_be_evaluated_is_told(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            shown = Shown(client)
            client.ask(f"Z0,{INC:x},1" + prints("x\\n", conditions=[b"\x26\xff\xff\x27"]))
            client.ask(f"Z1,{JMP:x},1;X{len(equals(0, 0x1236)):x},{equals(0, 0x1236).hex()}")
            self.assertTrue(shown.go_on().startswith("T05"))
            self.assertEqual(f"<dprintf at {INC:#x}: its condition: register 65535 has no value here, only for gdb>\n" * 2, shown.text)


if __name__ == "__main__":
    main()
