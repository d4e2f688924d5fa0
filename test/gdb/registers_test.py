"""x87, SSE, AVX and MSRs."""
import struct

from debugger import ACCELERATOR, SPIN_16, SPIN_32, SPIN_64, Case, Machine, main

GUESTS = (("16", SPIN_16), ("32", SPIN_32), ("64", SPIN_64))
FLUSH = "maintenance flush register-cache"  # what gdb prints now comes from the guest


class Vectors(Case):
    def test_before_the_guest_has_used_them(self):
        for mode, code in GUESTS:
            with self.subTest(mode=mode), Machine(code, "--mode", mode, gdb=",wait") as machine:
                text = machine.debug("info registers float", "p $mxcsr", "p $xmm7.v2_int64", "stepi", "p/x $fctrl", "p $mxcsr", "kill")
                self.assert_lines(text, "st0            0 ", "fctrl          0x37f", "ftag           0xffff", "IM DM ZM OM UM PM",
                                  "= {0, 0}", "= 0x37f", "IM DM ZM OM UM PM")

    def test_they_are_written_and_keep_it_while_the_guest_runs(self):
        for mode, code in GUESTS:
            with self.subTest(mode=mode), Machine(code, "--mode", mode, gdb=",wait") as machine:
                last = "$xmm15" if mode == "64" else "$xmm7"
                text = machine.debug("set $xmm0.v2_int64[0] = 0x1122334455667788", "set $xmm0.v2_int64[1] = -2", f"set {last}.v4_int32[3] = 7",
                                     "set $st0 = 1.5", "set $st7 = -2", "set $ftag = 0x3ffc", "set $fctrl = 0x27f", "set $mxcsr = 0x1fa0",
                                     "stepi", "break *0x10008", "continue", "continue", FLUSH, "p/x $xmm0.v2_int64",
                                     f"p {last}.v4_int32", "p $st0", "p $st7", "p/x $ftag", "p/x $fctrl", "p $mxcsr", "kill")
                self.assert_lines(text, "= {0x1122334455667788, 0xfffffffffffffffe}", "= {0, 0, 0, 7}", "= 1.5", "= -2", "= 0x3ffc",
                                  "= 0x27f", "[ PE IM")

    def test_avx_where_the_processor_has_it(self):
        with Machine(SPIN_64, "--mode", "64", gdb=",wait") as machine:
            text = machine.debug("p $ymm9.v8_int32", "set $ymm9.v8_int32[7] = 77", "set $ymm9.v8_int32[0] = 11", "stepi", FLUSH,
                                 "p $ymm9.v8_int32", "p $xmm9.v4_int32", "kill")
            if ACCELERATOR == "unicorn":
                self.assert_lines(text, "not a structure")
            elif "not a structure" in text:
                self.skipTest("the processor has no AVX")
            else:
                self.assert_lines(text, "= {0, 0, 0, 0, 0, 0, 0, 0}", "= {11, 0, 0, 0, 0, 0, 0, 77}", "= {11, 0, 0, 0}")

    def test_what_the_guest_computes_with_them(self):
        # fninit; fld1; fldpi; mov eax, 0x40490fdb; movd xmm1, eax; addss xmm1, xmm1; jmp $
        code = b"\xdb\xe3\xd9\xe8\xd9\xeb\xb8\xdb\x0f\x49\x40\x66\x0f\x6e\xc8\xf3\x0f\x58\xc9\xeb\xfe"
        with Machine(code, "--mode", "64", gdb=",wait") as machine:
            text = machine.debug("set $cr4 = $cr4 | 0x600", "break *0x10013", "continue", "p $st0", "p $st1", "p/x $ftag", "p/x $fstat",
                                 "p $xmm1.v4_float[0]", "set $xmm1.v4_float[0] = 0.5", "set $st0 = 4", "set $pc = 0x1000f", "stepi",
                                 "p $xmm1.v4_float[0]", "p $st0", "kill")
            if "SIGILL" in text:
                self.skipTest("this host's KVM runs no x87 in ring 0")
            self.assert_lines(text, "= 3.14159265358979", "= 1", "= 0xfff", "= 0x3000", "= 6.28318548", "= 1", "= 4")


def pvh_kernel(code, elf_class, machine):
    """An ELF file that PVH starts at 0x100000, in 32 bits."""
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", 0x100000)
    wide = elf_class == 2
    at = 64 + 2 * 56 if wide else 52 + 2 * 32
    head = b"\x7fELF" + bytes([elf_class, 1, 1]) + bytes(9) + struct.pack("<HHI", 2, machine, 1)
    if wide:
        head += struct.pack("<QQQIHHHHHH", 0x100000, 64, 0, 0, 64, 56, 2, 64, 0, 0)
        load = struct.pack("<IIQQQQQQ", 1, 5, at, 0x100000, 0x100000, len(code), len(code), 1)
        told = struct.pack("<IIQQQQQQ", 4, 4, at + len(code), 0, 0, len(note), len(note), 4)
    else:
        head += struct.pack("<IIIIHHHHHH", 0x100000, 52, 0, 0, 52, 32, 2, 40, 0, 0)
        load = struct.pack("<IIIIIIII", 1, at, 0x100000, 0x100000, len(code), len(code), 5, 1)
        told = struct.pack("<IIIIIIII", 4, at + len(code), 0, 0, len(note), len(note), 4, 4)
    return head + load + told + code + note


class Descriptions(Case):
    """Of the processor: it has to fit the file that gdb has read."""

    def test_a_kernel_of_64_bits_that_starts_in_32(self):
        kernel = pvh_kernel(SPIN_32, 2, 62)
        with Machine(kernel, gdb=",wait") as machine:
            with open(machine.file("kernel"), "wb") as file:
                file.write(kernel)
            text = machine.debug("p/x $pc", "monitor info cpus", "stepi", "p/x $pc", "p/x $r15", "kill", file=[file.name])
            self.assert_lines(text, "= 0x100000", "vCPU 0: 32 bits", "= 0x100001", "= 0x0")
            self.assertNotIn("warning", text)

    def test_a_kernel_of_32_bits_and_one_that_is_told_otherwise(self):
        for kind, option in (((1, 3), ""), ((2, 62), ",mode=32")):
            with self.subTest(kind=kind), Machine(pvh_kernel(SPIN_32, *kind), gdb=",wait" + option) as machine:
                text = machine.debug("p/x $eip", "stepi", "p/x $eip", "p $r15", "kill")
                self.assert_lines(text, "= 0x100000", "= 0x100001", "= void")


class Msrs(Case):
    def test_by_name(self):
        with Machine(SPIN_64, "--mode", "64", gdb=",wait") as machine:
            text = machine.debug("p/x $msr_pat", "set $msr_lstar = 0xffffffff81000000", "set $msr_star = 0x23001000000000",
                                 "set $msr_kernel_gs_base = 0x1234", "set $msr_sysenter_eip = 0x77", "stepi", FLUSH, "p/x $msr_lstar",
                                 "p/x $msr_star", "p/x $msr_kernel_gs_base", "p/x $msr_sysenter_eip", "p $msr_cstar", "p/x $efer", "kill")
            self.assert_lines(text, "= 0x7040600070406", "= 0xffffffff81000000", "= 0x23001000000000", "= 0x1234", "= 0x77", "= 0", "= 0x500")

    def test_by_number(self):
        with Machine(SPIN_64, "--mode", "64", gdb=",wait") as machine:
            text = machine.debug("monitor msr 0xc0000084", "monitor msr 0xc0000084 0x47700", "p/x $msr_sfmask", "monitor msr 0x12345",
                                 "monitor msr x", "monitor msr 1 y", "kill")
            self.assert_lines(text, "MSR 0xc0000084 is 0x0", "MSR 0xc0000084 is 0x47700", "= 0x47700", "has no MSR 0x12345",
                              "msr needs a number", "'y' is no number")

    def test_of_the_second_vcpu(self):
        with Machine(SPIN_64, "--mode", "64", "--cpus", "2", gdb=",wait") as machine:
            text = machine.debug("thread 2", "set $msr_cstar = 2", "set $xmm0.v2_int64[0] = 22", "thread 1", "p $msr_cstar", "p $xmm0.v2_int64[0]",
                                 "thread 2", "p $msr_cstar", "p $xmm0.v2_int64[0]", "kill")
            self.assert_lines(text, "= 0", "= 0", "= 2", "= 22")

    def test_a_function_that_gdb_calls(self):
        # At 0x10010: lea eax, [rdi + 1]; ret
        code = SPIN_64 + b"\x90" * (16 - len(SPIN_64)) + b"\x8d\x47\x01\xc3"
        with Machine(code, "--mode", "64", gdb=",wait") as machine:
            text = machine.debug("set $rsp = 0x8000", "p ((int (*)(int)) 0x10010)(41)", "p/x (int)$pc", "p/x $rsp", "kill")
            self.assert_lines(text, "= 42", "= 0x10000", "= 0x8000")


if __name__ == "__main__":
    main()
