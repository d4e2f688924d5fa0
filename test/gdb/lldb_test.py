"""lldb comes, looks, changes, steps, stops at breakpoints and goes."""
import os
import re
import subprocess
import sys

from debugger import PATIENCE, SPIN_32, SPIN_64, Case, Machine, main

LLDB = os.environ.get("LLDB", "lldb")
GUESTS = (("32", SPIN_32, "eip", "eax"), ("64", SPIN_64, "rip", "rax"))


def lldb(machine, *commands):
    """What lldb prints for these commands, one after the other, on this machine; it ends at the first that fails."""
    port = machine.target.rpartition(":")[2]
    words = [word for command in (f"gdb-remote 127.0.0.1:{port}", *commands) for word in ("-o", command)]
    return subprocess.run([LLDB, "-x", "-b", *words], stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=PATIENCE).stdout


class Lldb(Case):
    def test_steps_and_breakpoints(self):
        for mode, code, program_counter, accumulator in GUESTS:
            with self.subTest(mode=mode), Machine(code, "--mode", mode, gdb=",wait", place="tcp:0") as machine:
                text = lldb(machine, "thread step-inst", "breakpoint set -a 0x10008", "process continue", "process continue",
                            f"register read {program_counter} {accumulator}", "breakpoint delete 1", "thread step-inst",
                            f"register read {program_counter}", "process detach")
                self.assert_lines(text, "0x10000: nop", "instruction step into", "->  0x10001", "stop reason = breakpoint 1.1", "->  0x10008",
                                  "stop reason = breakpoint 1.1")
                self.assertRegex(text, rf"{program_counter} = 0x0*10008\n +{accumulator} = 0x0*1235\n")
                self.assertRegex(text, rf"{program_counter} = 0x0*1000[9a]\n")
                self.assert_lines(text, "Process 1 detached")
                # It has no breakpoint any more and nobody who would let it go on.
                text = lldb(machine, f"register read {accumulator}", "process detach")
                self.assertGreater(int(re.search(rf"{accumulator} = (0x\w+)", text)[1], 16), 0x1236)

    def test_registers_in_groups(self):
        for mode, code, _, accumulator in GUESTS:
            with self.subTest(mode=mode), Machine(code, "--mode", mode, gdb=",wait", place="tcp:0") as machine:
                text = lldb(machine, f"register write {accumulator} 0x55aa", "register write mxcsr 0x1fa0", "thread step-inst",
                            "register read", "register read --all", "process kill")
                general, everything = text.split("register read --all")
                self.assertRegex(general, rf"{accumulator} = 0x0*55aa\n")
                self.assert_lines(general, "general:", "eflags", "gs")
                self.assertNotIn("xmm0", general)
                self.assert_lines(everything, "general:", "float:", "st0", "fctrl = 0x0000037f", "vector:", "xmm0 = {",
                                  "mxcsr = 0x00001fa0", "system:", "cr0 = ", "efer = ", "msr_lstar = ")
                self.assertEqual(137, machine.ended()[0])

    def test_memory(self):
        with Machine(SPIN_64, "--mode", "64", gdb=",wait", place="tcp:0") as machine:
            text = lldb(machine, "memory read 0x10000", "memory write -s 4 0x20000 0x12345678", "memory read -f x -s 4 -c 1 0x20000",
                        "disassemble -s 0x10003 -c 2", "process kill")
            self.assert_lines(text, "90 90 90 b8 34 12 00 00", "0x12345678", "movl   $0x1234, %eax", "incl   %eax")

    def test_threads(self):
        with Machine(SPIN_32, "--mode", "32", "--cpus", "2", gdb=",wait", place="tcp:0") as machine:
            text = lldb(machine, "thread list", "thread select 2", "register write eax 0x22", "thread select 1", "register read eax",
                        "thread select 2", "register read eax", "process kill")
            self.assert_lines(text, "* thread #1", "thread #2", "eax = 0x00000000", "eax = 0x00000022")
            self.assertIn("exited with status = 9", text)


if __name__ == "__main__":
    try:
        subprocess.run([LLDB, "--version"], check=True, stdout=subprocess.DEVNULL)
    except OSError as error:
        print(f"SKIP: there is no lldb: {error}")
        sys.exit(77)
    main(needs_gdb=False)
