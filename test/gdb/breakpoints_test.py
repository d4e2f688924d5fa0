"""Breakpoints and watchpoints, by whatever this host has."""
import re

from debugger import ACCELERATOR, SPIN_16, SPIN_32, SPIN_64, Case, Machine, main, probed

GUESTS = (("16", SPIN_16, "$ax"), ("32", SPIN_32, "$eax"), ("64", SPIN_64, "$eax"))


def delivered():
    """The stops that this host delivers."""
    if ACCELERATOR != "kvm":
        return {"int3", "debug registers"}
    lines = probed()
    names = {"software-breakpoint=yes": "int3", "hardware-breakpoint=yes": "debug registers", "watchpoint=yes": "watchpoints"}
    return {name for line, name in names.items() if line in lines}


class Breakpoints(Case):
    def test_each_kind_in_each_mode(self):
        for mode, code, register in GUESTS:
            for command in ("break", "hbreak"):
                with self.subTest(mode=mode, command=command), Machine(code, "--mode", mode, gdb=",wait") as machine:
                    text = machine.debug(f"{command} *0x10008", "continue", "continue", "continue",
                                         f"p/x {register}", "x/bx 0x10008", "p $_exitcode", "kill")
                    self.assert_lines(text, *["Breakpoint 1, 0x"] * 3, "= 0x1236", hex(code[8]))

    def test_a_running_guest_gets_one_and_loses_it(self):
        with Machine(SPIN_32, "--mode", "32") as machine:
            self.assert_lines(machine.debug("break *0x10009", "continue", "detach"), "Breakpoint 1, 0x", "detached")
            self.assert_goes_on(machine)

    def test_a_connection_that_breaks_takes_them_along(self):
        with Machine(SPIN_32, "--mode", "32") as machine:
            with machine.client() as client:
                client.ask("?")
                self.assertEqual("OK", client.ask("Z0,10009,1"))
                self.assertIn("thread:1", client.ask("vCont;c"))
                client.send("vCont;c")
            self.assert_goes_on(machine)

    def test_a_fallback_is_said_once(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug("break *0x10008", "break *0x10009", "continue", "continue", "kill")
            self.assert_lines(text, "Breakpoint 1, 0x", "Breakpoint 2, 0x")
            _, said = machine.ended()
            self.assertEqual("int3" not in delivered() and "debug registers" in delivered(),
                             said.count("has become a hardware breakpoint") == 1, said)

    def test_more_hardware_breakpoints_than_registers(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug(*(f"hbreak *0x1000{digit}" for digit in "123389"), "continue", "continue", "continue",
                                 "continue", "continue", "kill")
            self.assert_lines(text, "Breakpoint 1, 0x00010001", "Breakpoint 2, 0x00010002", ", 0x00010003",
                              ", 0x00010008", ", 0x00010009")
            self.assertIn("the guest goes step by step", machine.ended()[1])

    def test_a_condition(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug("break *0x10008 if $eax == 0x1240", "continue", "p/x $eax", "kill")
            self.assert_lines(text, "Breakpoint 1, 0x", "= 0x1240")

    def test_on_the_second_vcpu(self):
        with Machine(SPIN_32, "--mode", "32", "--cpus", "2", gdb=",wait") as machine:
            text = machine.debug("break *0x10008 thread 2", "continue", "thread", "kill")
            self.assert_lines(text, "Thread 2", "hit Breakpoint 1, 0x", "Current thread is 2")

    def test_it_survives_a_reset(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug("break *0x10008", "continue", "monitor reset", "maintenance flush register-cache",
                                 "p/x (int)$pc", "continue", "p/x $eax", "kill")
            self.assert_lines(text, "Breakpoint 1, 0x", "= 0x10000", "Breakpoint 1, 0x", "= 0x1234")

    def test_the_guest_does_not_see_them_while_it_stands(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            client.ask("Z0,10008,1")
            self.assertEqual("40", client.ask("m10008,1"))
            self.assertIn("thread:1", client.ask("vCont;c"))
            self.assertEqual("40", client.ask("m10008,1"))
            self.assertEqual("OK", client.ask("M10008,1:48"))  # dec eax
            self.assertEqual("OK", client.ask("z0,10008,1"))
            client.ask("vCont;s")
            self.assertTrue(client.ask("g").startswith("33120000"))

    def test_the_guest_s_own_int3_is_its_own(self):
        if not delivered():
            self.skipTest("a software interrupt ends the steps, which are all that this host has")
        # In real mode: ds = ss = 0, sp = 0x8000; the vector of INT3 leads to `handler`; int3; jmp $; handler: mov al, 0x77; jmp $
        start = b"\x31\xc0\x8e\xd8\x8e\xd0\xbc\x00\x80"
        handler = len(start) + 15
        body = (start + b"\xc7\x06\x0c\x00" + bytes([handler, 0]) + b"\xc7\x06\x0e\x00\x00\x10" + b"\xcc\xeb\xfe"
                + b"\xb0\x77\xeb\xfe")
        with Machine(body, gdb=",wait") as machine:
            text = machine.debug(f"break *{0x10000 + handler + 2:#x}", "continue", "p/x $al", "kill")
            self.assert_lines(text, "Breakpoint 1, 0x", "= 0x77")


    def test_code_that_runs_at_another_address_than_its_breakpoint_s(self):
        # As in a kernel that begins at its physical addresses: 2 MiB at 0x40000000 are those at 0.
        with Machine(SPIN_64, "--mode", "64", gdb=",wait") as machine:
            tables = int(re.search("= (0x[0-9a-f]+)", machine.debug("p/x $cr3", "kill"))[1], 16)
        with Machine(SPIN_64, "--mode", "64", gdb=",wait") as machine:
            text = machine.debug("monitor phys on", f"set $pdpt = *(unsigned long*){tables} & ~0xfff",
                                 "set $pd = *(unsigned long*)($pdpt + 8) & ~0xfff", "set *(unsigned long*)$pd = 0x83",
                                 "monitor phys off", "break *0x40010008", "break *0x1000a if $eax == 0x1238", "continue",
                                 "p/x $eax", "x/2xb 0x10008", "kill")
            self.assert_lines(text, "Breakpoint 2, 0x000000000001000a", "= 0x1238", "0xff\t0xc0")


class Watchpoints(Case):
    # mov eax, 0x20000; inc dword [eax]; jmp back to it
    CODE = b"\xb8\x00\x00\x02\x00\xff\x00\xeb\xfc"

    def test_writes(self):
        with Machine(self.CODE, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug("watch *(int*)0x20000", "continue", "continue", "kill")
            self.assert_lines(text, "Old value = 0", "New value = 1", "Old value = 1", "New value = 2")

    def test_reads_are_refused_where_they_can_t_be_watched(self):
        with Machine(self.CODE, "--mode", "32", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            self.assertEqual("OK" if "watchpoints" in delivered() else "", client.ask("Z4,20000,4"))
            self.assertEqual("", client.ask("Z3,20000,4"))


if __name__ == "__main__":
    main()
