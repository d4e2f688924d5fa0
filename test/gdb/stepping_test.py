"""Steps over instructions that load, store or need the trap flag, which is what a processor steps by. Without gdb, so that the
nested lane runs it."""
import tempfile

from debugger import ACCELERATOR, Case, Machine, main

TRAP_FLAG = 0x100


class Stepping(Case):
    def steps(self, code, mode, lengths):
        """The registers after each step, which goes over as many bytes as `lengths` says."""
        with Machine(code, "--mode", mode, "--on-halt", "wait", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            wide = 16 if mode == "64" else 8
            seen, place = [], 0x10000
            for length in lengths:
                client.ask("vCont;s:1")
                values = [int.from_bytes(bytes.fromhex(text), "little") for text in self.registers(client, wide)]
                place += length
                self.assertEqual(hex(place), hex(values[16 if mode == "64" else 8]), "the program counter")
                self.assertEqual(0, self.flags(client, mode) & TRAP_FLAG)
                seen.append(values)
            client.ask("D")
            return seen

    def registers(self, client, wide):
        text = client.ask("g")
        return [text[at:at + wide] for at in range(0, wide * 17, wide)]

    def flags(self, client, mode):
        return int.from_bytes(bytes.fromhex(client.ask("p11" if mode == "64" else "p9")), "little")

    def test_flags_are_pushed_and_popped(self):
        # pushf; pop (r)ax; push (r)ax; popf; nop; nop
        code = b"\x9c\x58\x50\x9d\x90\x90\xf4"
        for mode in ("16", "32", "64"):
            with self.subTest(mode=mode):
                seen = self.steps(code, mode, [1] * 6)
                self.assertEqual(0, seen[1][0] & TRAP_FLAG, "the guest sees the flag of its debugger")

    def test_with_prefixes(self):
        # pushfd; pop eax; push eax; popfd; nop
        seen = self.steps(b"\x66\x9c\x66\x58\x66\x50\x66\x9d\x90\xf4", "16", [2, 2, 2, 2, 1])
        self.assertEqual(0, seen[1][0] & TRAP_FLAG)

    def test_an_interrupt_returns(self):
        # pushf; push cs; push 8; iret; nops; at 8: nop
        self.steps(b"\x9c\x0e\x6a\x08\xcf\x90\x90\x90\x90\x90\xf4", "16", [1, 1, 2, 4, 1, 1])

    def test_accesses(self):
        # inc eax; out 0xe9, al; jmp back to the inc
        code = b"\x40\xe6\xe9\xeb\xfb"
        with tempfile.NamedTemporaryFile() as output, \
                Machine(code, "--mode", "32", "--debugcon", f"file:{output.name}", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            for turn in range(1, 60):
                for place in (1, 3, 0):
                    self.assertTrue(client.ask("vCont;s:1").startswith("T05"))
                    values = self.registers(client, 8)
                    self.assertEqual([turn, 0x10000 + place], [int.from_bytes(bytes.fromhex(values[i]), "little") for i in (0, 8)])
            self.assertEqual("OK", client.ask("vKill;1"))
            machine.ended()
            self.assertEqual(bytes(range(1, 60)), output.read())

    def test_a_handler_in_which_a_step_has_been_lost(self):
        # ds = ss = 0; sp = 0x8000; the vector 0x40 leads to 0x10020; int 0x40; at 0x10020: inc ax; jmp to it
        start = (b"\x31\xc0\x8e\xd8\x8e\xd0\xbc\x00\x80" b"\xc7\x06\x00\x01\x20\x00"
                 b"\xc7\x06\x02\x01\x00\x10" b"\xcd\x40")
        code = start + b"\x90" * (0x20 - len(start)) + b"\x40\xeb\xfd"
        with Machine(code, gdb=",wait") as machine, machine.client() as client:
            place = 0
            client.ask("?")
            while place < 0x10020:
                # The step into the handler may end there, or not before Ctrl-C.
                client.send("vCont;s:1")
                client.socket.sendall(b"\x03")
                self.assertIn(client.receive()[:3], ("T05", "T02"))
                place = int.from_bytes(bytes.fromhex(client.ask("p8")), "little")
            for _ in range(3):
                self.assertTrue(client.ask("vCont;s:1").startswith("T05"))
            client.ask("D")

    def test_a_halt(self):
        # nop; hlt; nop; nop: the guest is behind the HLT, or has halted and so ended.
        with Machine(b"\x90\xf4\x90\x90\xf4", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            client.ask("vCont;s:1")
            if client.ask("vCont;s:1") == "W00":
                self.assertEqual(0, machine.ended()[0])
                return
            self.assertEqual("02000100", client.ask("p8"))
            client.ask("D")
            self.assertEqual(0, machine.ended()[0])

    def test_a_stack_segment_is_loaded(self):
        # xor ax, ax; mov ss, ax; mov sp, 0x1234; nop. A processor does not stop between the two.
        with Machine(b"\x31\xc0\x8e\xd0\xbc\x34\x12\x90\x90\xf4", gdb=",wait") as machine, machine.client() as client:
            client.ask("?")
            places = []
            while not places or places[-1] < 0x10008:
                client.ask("vCont;s:1")
                places.append(int.from_bytes(bytes.fromhex(client.ask("p8")), "little"))
            self.assertIn(places, ([0x10002, 0x10004, 0x10007, 0x10008], [0x10002, 0x10007, 0x10008]))

    def test_a_watched_place_behind_a_pop_of_the_flags(self):
        if ACCELERATOR == "unicorn":
            self.skipTest("its steps need no flag")
        # mov eax, 0x20000; pushf; popf; nop; inc dword [eax]; hlt: with steps as the only means they must not end at the popf
        with Machine(b"\xb8\x00\x00\x02\x00\x9c\x9d\x90\xff\x00\xf4", "--mode", "32", gdb=",wait") as machine, \
                machine.client() as client:
            client.ask("?")
            self.assertEqual("OK", client.ask("Z2,20000,4"))
            self.assertIn("watch:20000", client.ask("vCont;c"))


if __name__ == "__main__":
    main(needs_gdb=False)
