"""What the clients offer an author beyond what the conformance device needs.

api_test.py TOOLS COMMAND..."""
import errno
import shutil
import sys
import unittest

sys.dont_write_bytecode = True
TOOLS, *DEVICE = sys.argv[1:]
del sys.argv[1:]
sys.path.insert(0, TOOLS)
from device_check.monitor import ACCESS, LOG, REGION_READ, REGION_WRITE, Target  # noqa: E402


class Api(unittest.TestCase):
    def setUp(self):
        self.device = Target(DEVICE).connect()
        self.greeting, self.name = self.device.greet(irqs=2, regions=((0x300, 8, 0), (0xd0000000, 4096, 1)))

    def tearDown(self):
        self.device.stream.close()
        self.assertEqual(0, self.device.exit_code())

    def in_memory(self, offset, width, count=1):
        return self.device.data(self.device.ask_read(offset, width, count, region=1), offset, width, count, region=1)

    def write(self, offset, width, value):
        payload = ACCESS.pack(offset, 1, width, 0, width)
        reply = self.device.answer(self.device.send(REGION_WRITE, payload + value.to_bytes(width, "little")), REGION_WRITE)
        self.assertEqual(payload, reply.payload)

    def error(self, offset):
        return self.device.answer(self.device.ask_read(offset), REGION_READ).error

    def test_the_name(self):
        self.assertEqual("näme", self.name)

    def test_what_the_device_throws_is_an_error_and_it_goes_on(self):
        for _ in range(2):
            self.assertEqual(5, self.error(0))
            self.assertEqual(6, self.error(1))
        self.assertEqual(0xfe, self.device.read(2))

    def test_values_of_all_widths(self):
        for width in (1, 2, 4):
            self.assertEqual((1 << 8 * width) - 2, self.device.read(2, width))
        self.write(8, 8, 0x8877665544332211)
        self.assertEqual((0x8877665544332211).to_bytes(8, "little"), self.in_memory(0, 8))

    def test_a_reset_cancels_an_access_that_has_no_end(self):
        for _ in range(2):
            endless = self.device.ask_read(3)
            while not self.device.logs:  # until the device has begun with it
                self.device.obey(self.device.receive())
            self.device.logs.clear()
            self.device.reset()
            self.assertEqual(errno.ECANCELED, self.device.answer(endless, REGION_READ).error)
            self.assertEqual(0xfe, self.device.read(2))

    def test_a_second_region(self):
        self.assertEqual(0x1ff, int.from_bytes(self.in_memory(0xff, 2), "little"))

    def test_strings_of_its_own(self):
        self.assertEqual(bytes(range(12)), self.device.read_string(0, 4, 3))
        self.device.write_string(0, 2, bytes(range(100, 120)))
        self.assertEqual(sum(range(100, 120)), int.from_bytes(self.in_memory(0, 4), "little"))

    def test_lines_in_the_log(self):
        levels, obey = [], self.device.obey
        self.device.obey = lambda frame: (levels.append(frame.payload[0]) if frame.command == LOG else None, obey(frame))
        self.write(0, 1, 1)
        self.write(0, 1, 2)
        self.assertEqual([0, 1], levels)  # an error, a warning
        self.assertEqual(["x" + "ä" * 511, "short"], self.device.logs)  # no half a letter

    def test_background_work(self):
        while len(self.device.lines) < 2:
            self.device.obey(self.device.receive("an interrupt was due"))
        self.assertEqual([(1, 1), (0, 0)], self.device.lines)


if not shutil.which(DEVICE[0]):
    print(f"SKIP: there is no {DEVICE[0]}")
    sys.exit(77)
unittest.main()
