"""A guest that has crashed stays for its debugger."""
import re
import signal
import subprocess

from debugger import PROGRAM, Case, Machine, main

# lidt [empty]; ud2
TRIPLE_FAULT = b"\x0f\x01\x1d\x0a\x00\x01\x00\x0f\x0b\xf4" + b"\x00" * 6


# mov edx, 0x505; mov al, 1; out dx, al; jmp to itself
PANIC = b"\xba\x05\x05\x00\x00\xb0\x01\xee\xeb\xfe"
BEHIND = 0x10008


class Panics(Case):
    """Of a kernel that tells pvpanic."""

    def panics(self, *options, **where):
        return Machine(PANIC, "--mode", "32", "--device", "pvpanic", *options, **where)

    def assert_panicked(self, machine):
        code, said = machine.ended()
        self.assertEqual(84, code)
        self.assert_lines(said, "the guest's kernel panicked")

    def test_a_debugger_that_is_there_sees_it_and_lets_it_end(self):
        with self.panics(gdb=",wait") as machine:
            text = machine.debug("continue", "p/x (int)$pc", "p/x $eax & 255", "continue")
            self.assert_lines(text, "SIGABRT", f"= {BEHIND:#x}", "= 0x1", "exited with code 0124")
            self.assert_panicked(machine)

    def test_a_step(self):
        with self.panics(gdb=",wait") as machine:
            text = machine.debug("stepi", "stepi", "stepi", "p/x (int)$pc", "continue")
            self.assert_lines(text, "SIGABRT", f"= {BEHIND:#x}", "exited with code 0124")
            self.assert_panicked(machine)

    def test_one_that_comes_later(self):
        with self.panics("--on-crash", "gdb") as machine:
            machine.wait_for("the machine stays for gdb")
            text = machine.debug("p/x (int)$pc", "monitor reset", "maintenance flush register-cache", "p/x (int)$pc", "continue", "detach")
            self.assert_lines(text, f"= {BEHIND:#x}", "= 0x10000", "SIGABRT", "detached")
            self.assert_panicked(machine)

    def test_it_ends_without_one_and_if_that_is_asked_for(self):
        with self.panics() as machine:
            self.assert_panicked(machine)
        with self.panics("--on-crash", "exit", gdb=",wait") as machine:
            self.assert_lines(machine.debug("continue"), "exited with code 0124")
            self.assert_panicked(machine)


class Crashes(Case):
    def test_a_debugger_that_is_there_sees_it_and_lets_it_end(self):
        with Machine(TRIPLE_FAULT, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug("continue", "x/i 0x10007", "continue")
            self.assert_lines(text, "SIGSEGV", "ud2", "exited with code 0120")
            code, said = machine.ended()
            self.assertEqual(80, code)
            self.assert_lines(said, "vCPU 0: triple fault; the machine stays for gdb", "triple fault")

    def test_the_report_shows_the_guest_s_own_bytes(self):
        with Machine(TRIPLE_FAULT, "--mode", "32", gdb=",wait") as machine:
            machine.debug("break *0x10009", "break *0x10007 if $eax == 5", "continue", "continue")
            code, said = machine.ended()
            self.assertEqual(80, code)
            self.assert_lines(said, "triple fault", "0f 0b")
            self.assertNotIn("cc", re.findall(r"\b[0-9a-f]{2}\b", said.split("code")[1].split("last exits")[0]))

    def test_one_that_comes_later(self):
        with Machine(TRIPLE_FAULT, "--mode", "32", "--on-crash", "gdb") as machine:
            machine.wait_for("the machine stays for gdb")
            text = machine.debug("monitor info report", "detach")
            self.assert_lines(text, "triple fault", "detached")
            self.assertEqual(80, machine.ended()[0])

    def test_the_control_socket_tells_before_one_comes(self):
        def status(machine):
            return subprocess.run([PROGRAM, "ctl", machine.file("control"), "human-monitor-command", "command-line=info status"],
                                  capture_output=True, text=True, check=True).stdout

        with Machine(TRIPLE_FAULT, "--mode", "32", "--on-crash", "gdb", control="control") as machine:
            machine.wait_for("the machine stays for gdb")
            while "running" in status(machine):
                pass
            self.assertIn("VM status: debug", status(machine))
            self.assert_lines(machine.debug("detach"), "detached")
            self.assertEqual(80, machine.ended()[0])
        # Whoever lets it go on lets it end.
        with Machine(TRIPLE_FAULT, "--mode", "32", "--on-crash", "gdb", control="control") as machine:
            machine.wait_for("the machine stays for gdb")
            while "running" in status(machine):
                pass
            subprocess.run([PROGRAM, "ctl", machine.file("control"), "cont"], check=True)
            self.assertEqual(80, machine.ended()[0])

    def test_without_one_it_ends(self):
        with Machine(TRIPLE_FAULT, "--mode", "32") as machine:
            self.assertEqual(80, machine.ended()[0])

    def test_it_ends_if_that_is_asked_for(self):
        with Machine(TRIPLE_FAULT, "--mode", "32", "--on-crash", "exit", gdb=",wait") as machine:
            self.assert_lines(machine.debug("continue"), "exited with code 0120")
            self.assertEqual(80, machine.ended()[0])

    def test_a_signal_ends_a_machine_that_stays(self):
        with Machine(TRIPLE_FAULT, "--mode", "32", "--on-crash", "gdb") as machine:
            machine.wait_for("the machine stays for gdb")
            machine.process.send_signal(signal.SIGTERM)
            self.assertEqual(128 + signal.SIGTERM, machine.ended()[0])

    def test_it_starts_anew(self):
        with Machine(TRIPLE_FAULT, "--mode", "32", gdb=",wait") as machine:
            text = machine.debug("continue", "monitor reset", "maintenance flush register-cache", "p/x (int)$pc", "stepi",
                                 "p/x (int)$pc", "continue", "kill")
            self.assert_lines(text, "SIGSEGV", "at its start", "= 0x10000", "= 0x10007", "SIGSEGV", "killed")


if __name__ == "__main__":
    main()
