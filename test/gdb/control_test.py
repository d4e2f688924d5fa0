"""gdb comes, looks, changes, steps, stops, goes and comes again."""
import signal
import subprocess
import tempfile

from debugger import SPIN_16, SPIN_32, SPIN_64, ACCELERATOR, PROGRAM, Case, Machine, debug, main

CONTINUE_AND_STOP = ["python import os, threading",
                     # Ctrl-C, as soon as the guest is seen to run.
                     "python threading.Timer(0.2, lambda: os.kill(os.getpid(), 2)).start()", "continue"]


class Attaching(Case):
    def test_before_the_first_instruction(self):
        for mode, code, program_counter in (("16", SPIN_16, "$eip"), ("32", SPIN_32, "$eip"), ("64", SPIN_64, "$rip")):
            with self.subTest(mode=mode), Machine(code, "--mode", mode, gdb=",wait") as machine:
                self.assertIn("the guest waits for it", machine.said)
                text = machine.debug(f"printf \"at %#lx\\n\", (long){program_counter}", "stepi", "stepi", "x/i $pc", "kill")
                self.assert_lines(text, "at 0x10000", "=> 0x10002:\tnop")
                code, said = machine.ended()
                self.assertEqual(137, code, said)

    def test_a_running_guest_which_goes_on_and_is_visited_again(self):
        with Machine(SPIN_32, "--mode", "32") as machine:
            for _ in range(3):
                self.assert_lines(machine.debug("p/x (int)$pc", "detach"), "= 0x100", "detached")
                self.assert_goes_on(machine)
            machine.process.send_signal(signal.SIGTERM)
            self.assertEqual(128 + signal.SIGTERM, machine.ended()[0])

    def test_a_connection_that_breaks_lets_the_guest_go_on(self):
        with Machine(SPIN_32, "--mode", "32") as machine:
            with machine.client() as client:
                self.assertTrue(client.ask("?").startswith("T05"))
            self.assert_goes_on(machine)

    def test_who_only_connects_does_not_stop_the_guest(self):
        with Machine(SPIN_32, "--mode", "32", "--on-halt", "wait") as machine:
            with machine.client() as idle, machine.client() as second:
                self.assertIn("E.another debugger", second.ask("?"))
                self.assertTrue(idle.ask("?").startswith("T05"))

    def test_a_second_debugger_is_refused(self):
        with Machine(SPIN_32, "--mode", "32") as machine, machine.client() as first:
            first.ask("?")
            self.assertIn("another debugger is attached", machine.debug())
            machine.wait_for("refused: one is attached already")
            self.assertEqual("l", first.ask("qsThreadInfo"))

    def test_over_tcp(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait", place="tcp:0") as machine:
            self.assert_lines(machine.debug("stepi", "p/x (int)$pc", "kill"), "= 0x10001")

    def test_over_the_standard_streams(self):
        with tempfile.NamedTemporaryFile() as image:
            image.write(SPIN_32)
            image.flush()
            asyncvm = f"{PROGRAM} --accel {ACCELERATOR} --mode 32 --no-defaults"
            text = debug(f"| {asyncvm} --gdb stdio,wait {image.name}", "stepi", "p/x (int)$pc", "kill")
            self.assert_lines(text, "= 0x10001", "killed")
            done = subprocess.run([*asyncvm.split(), "--serial", "stdio", "--gdb", "stdio", image.name], text=True,
                                  capture_output=True)
            self.assertEqual(64, done.returncode)
            self.assertIn("--gdb stdio: the standard streams are serial0's already", done.stderr)

    def test_s_and_capital_s(self):
        for options, wrong in ((["-S"], "-S: the guest would wait"), (["-s", "--gdb", "tcp:0"], "-s is short for"),
                               (["--on-crash", "gdb"], "would wait for a debugger"), (["--gdb", "x"], "--gdb 'x': it is none")):
            done = subprocess.run([PROGRAM, *options, "guest"], text=True, capture_output=True)
            self.assertEqual(64, done.returncode, options)
            self.assertIn(wrong, done.stderr)
        with Machine(SPIN_32, "--mode", "32", "-S") as machine:
            self.assert_lines(machine.debug("p/x (int)$pc", "kill"), "= 0x10000")


class Looking(Case):
    def test_registers_and_memory_are_read_and_written(self):
        with Machine(SPIN_64, "--mode", "64", gdb=",wait") as machine:
            text = machine.debug("set $rbx = 0x1122334455667788", "p/x $rbx", "p/x $ebx", "p/x $cr0 & 1", "p/x $cs",
                                 "set {long}0x200000 = 0x55aa", "x/2gx 0x200000", "set $eflags = 0x3", "p $eflags",
                                 "x/x 0x7fffffffffff", "kill")
            self.assert_lines(text, "$1 = 0x1122334455667788", "$2 = 0x55667788", "$3 = 0x1", "$4 = 0x8", "55aa\t",
                              "[ CF ", "Cannot access memory at address 0x7fffffffffff")

    def test_what_is_written_is_what_the_guest_goes_on_with(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug("set $eax = 7", "set $pc = 0x10008", "stepi", "p $eax",
                                 "set {char}0x10008 = 0x48", "stepi", "stepi", "p $eax", "kill")
            self.assert_lines(text, "$1 = 8", "$2 = 7")

    def test_addresses_are_linear_in_real_mode(self):
        with Machine(SPIN_16, gdb=",wait") as machine:
            text = machine.debug("stepi", "p/x (int)$pc", "p/x (int)$eip", "info threads", "monitor info cpus", "kill")
            self.assert_lines(text, "= 0x10001", "= 0x10001", "real mode, 1000:0001")

    def test_physical_addresses(self):
        with Machine(SPIN_64, "--mode", "64", gdb=",wait") as machine:
            text = machine.debug("set {int}0x3000 = 0x77", "monitor phys on", "x/x 0x3000", "maintenance packet qqemu.PhyMemMode",
                                 "maintenance packet Qqemu.PhyMemMode:0", "monitor phys", "monitor tlb 0x3000", "kill")
            self.assert_lines(text, "physical addresses", "00000077", '"1"', '"OK"', "linear addresses", "0x3000 is at 0x3000")

    def test_monitor(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug("stepi", "monitor help", "monitor info devices", "monitor info regs", "monitor info exits",
                                 "monitor nonsense", "monitor quit")
            self.assert_lines(text, "tlb ADDRESS", "port 0xf4-0xf4  exit", "registers of vCPU 0", "no such command: nonsense",
                              "asyncvm ends")
            self.assertEqual(137, machine.ended()[0])

    def test_monitor_s_maps(self):
        with Machine(SPIN_32, "--mode", "32", "--memory", "16M", "--stats", gdb=",wait") as machine:
            text = machine.debug("stepi", "monitor info mtree", "monitor info irqchip", "monitor info stats", "monitor phys of", "kill")
            self.assert_lines(text, "0x0000000000000000-0x0000000000ffffff  ram", "no interrupt controllers", "statistics of", "on or off")
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            self.assert_lines(machine.debug("monitor info stats", "kill"), "not counted: start asyncvm with --stats")

    def test_monitor_looks_as_the_control_socket_does(self):
        with Machine(SPIN_64, "--mode", "64", "--cpus", "2", gdb=",wait") as machine:
            text = machine.debug("set $rax = 0x77", "monitor p $rax+1", "monitor print /d 2-3", "monitor x/2xb 0x10003", "monitor xp /1xh 0x10004",
                                 "monitor x /1i $pc", "monitor gva2gpa 0x10003", "monitor tlb $pc", "monitor info registers", "monitor info registers 1",
                                 "monitor info mem", "monitor info tlb", "monitor info lapic", "monitor info pic", "monitor x", "monitor x /0xb 0",
                                 "monitor help", "thread 2", "monitor p $rax", "kill")
            self.assert_lines(text, "0x78\n", "-1\n", "0000000000010003: 0xb8 0x34\n", "0000000000010004: 0x1234\n", "0x00010000:  90 ",
                              "gpa: 0x10003\n", "0x10000 is at 0x10000, in a page of", "CPU#0\nRAX=0000000000000077 ", "CPU#1\nRAX=0000000000000000 ",
                              "0000000000000000-0000000100000000 0000000100000000 -rw\n", "00000000ffe00000: 00000000ffe00000 --P",
                              "no interrupt controllers", "no interrupt controllers", "unexpected end of expression\nTry \"monitor help\" for",
                              "info mem", "0x0\n")
            self.assertNotIn("support this command", text)

    def test_monitor_s_interrupt_controllers(self):
        if ACCELERATOR != "kvm":
            self.skipTest("the accelerator has none")
        with Machine(SPIN_32, "--mode", "32", "--irqchip", "on", gdb=",wait") as machine:
            text = machine.debug("stepi", "monitor info mtree", "monitor info irqchip", "monitor info lapic", "kill")
            self.assert_lines(text, "-0x00000000fec00fff  IOAPIC", "-0x00000000fee00fff  local APIC", "8259A, master: vectors from 0x08",
                              "IOAPIC: 24 inputs", "local APIC of vCPU 0: at 0xfee00000, xAPIC", "LINT1",
                              "local APIC of vCPU 0: at 0xfee00000, xAPIC")

    def test_reset(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug("set {int}0x10000 = 0", "stepi", "stepi", "monitor reset",
                                 "maintenance flush register-cache", "p/x (int)$pc", "x/x 0x10000", "stepi", "p/x (int)$pc",
                                 "kill")
            self.assert_lines(text, "at its start", "= 0x10000", "0xb8909090", "= 0x10001")

    def test_threads(self):
        with Machine(SPIN_32, "--mode", "32", "--cpus", "2", gdb=",wait") as machine:
            text = machine.debug("info threads", "thread 2", "set scheduler-locking on", "stepi", "stepi", "p/x (int)$pc",
                                 "thread 1", "p/x (int)$pc", "kill")
            self.assert_lines(text, "Thread 1", "Thread 2", "= 0x10002", "= 0x10000")


class Interrupting(Case):
    def interrupt(self, machine, *then):
        return machine.debug(*CONTINUE_AND_STOP, *then)

    def test_a_guest_that_spins(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine:
            text = self.interrupt(machine, "p $eax > 0x1234", "kill")
            self.assert_lines(text, "SIGINT", "$1 = 1")

    def test_a_guest_that_has_halted(self):
        with Machine(b"\xb0\x11\xf4", "--on-halt", "wait", gdb=",wait") as machine:
            text = self.interrupt(machine, "p/x $al", "kill")
            self.assert_lines(text, "SIGINT", "= 0x11")

    def test_a_guest_that_a_device_keeps_waiting(self):
        # mov eax, 0xffffffff; out 0xf2, eax; hlt
        with Machine(b"\x66\xb8\xff\xff\xff\xff\x66\xe7\xf2\xf4", gdb=",wait") as machine:
            text = self.interrupt(machine, "p/x $eax", "detach")
            self.assert_lines(text, "SIGINT", "= 0xffffffff", "detached")
            text = machine.debug("p/x $eax", "kill")
            self.assert_lines(text, "= 0xffffffff")
            self.assertEqual(137, machine.ended()[0])


class Ending(Case):
    def test_the_guest_s_end(self):
        with Machine(b"\xb0\x15\xe6\xf4\xf4", gdb=",wait") as machine:
            text = machine.debug("continue")
            self.assert_lines(text, "exited with code 053")
            self.assertEqual(43, machine.ended()[0])

    def test_halt(self):
        with Machine(b"\x90\xf4", gdb=",wait") as machine:
            self.assert_lines(machine.debug("continue"), "exited normally")
            self.assertEqual(0, machine.ended()[0])

    def test_a_signal_ends_a_guest_that_stands(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            machine.process.send_signal(signal.SIGTERM)
            self.assertEqual("W8f", client.receive())
            self.assertEqual(128 + signal.SIGTERM, machine.ended()[0])


class Hostile(Case):
    def test_nonsense_harms_nothing(self):
        with Machine(SPIN_32, "--mode", "32", gdb=",wait") as machine, machine.client() as client:
            for packet in ("", "Z9", "m", "mffffffffffffffff,ffff", "P", "G00", "vCont;z", "qXfer:features:read:x:0,1",
                           "X0,ffffffffffffffff:", "Hgffff", "T9", "pffff", "Z4,0,ffffffffffffffff", "qRcmd,zz",
                           "M10000,0:", "vFile:open:"):
                client.ask(packet)
            client.socket.sendall(b"\x03\x03$$$#00-+}" + b"$" + b"a" * 100_000 + b"#00")
            client.socket.sendall(b"$?#3f")
            while not client.receive().startswith("T05"):
                pass
            self.assertEqual("OK", client.ask("D"))


if __name__ == "__main__":
    main()
