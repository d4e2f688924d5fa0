"""What a device in good order does: the conformance device, register by register. Each check has a connection of its own."""
import struct
import time

from .monitor import (ACCESS, DEVICE_RESET, DMA_READ, ENOTSUP, HEADER, MEMORY_READ, MEMORY_WRITE, NO_REPLY, POSTED,
                      REGION_READ, REGION_WRITE, VERSION, Connection, Failed, Skipped, expect, expect_equal, name_of)

CHECKS = []
SCRATCH, FIFO, FILL, LEVEL, DELAY, ADDRESS, INCREMENT, SAY, RESETS, DROP = 0, 4, 5, 6, 7, 8, 12, 13, 14, 15
FRESH = 0x12345678


def check(text):
    def add(function):
        CHECKS.append((text, function))
        return function
    return add


@check("VERSION is answered with a name, and takes no more than was offered")
def version(target):
    with target.connect() as device:
        device.greet(offered=MEMORY_READ | MEMORY_WRITE | POSTED)


@check("a device to which nothing is offered takes nothing, and works")
def nothing_offered(target):
    with target.connect() as device:
        device.greet(offered=0, irqs=0)
        expect_equal(device.read(SCRATCH, 4), FRESH, "the scratch register")


@check("a later minor version is answered with one that is not later")
def later_minor(target):
    with target.connect() as device:
        device.greet(version=(1, 7))
        expect_equal(device.read(SCRATCH, 4), FRESH, "the scratch register")


@check("another major version is refused")
def other_major(target):
    with target.connect() as device:
        device.send(VERSION, device.hello(version=(2, 0)))
        refused(device, VERSION)


@check("what comes before VERSION is not carried out")
def before_version(target):
    with target.connect() as device:
        device.send(REGION_READ, ACCESS.pack(SCRATCH, 0, 4, 0, 4))
        refused(device, REGION_READ)


def refused(device, command):
    """An error reply, or the end of the connection."""
    try:
        reply = device.answer(device.next, command)
    except Failed:
        device.ends("after what can't be answered")
        return
    expect(reply.error, "it was answered as if nothing were wrong")


@check("scratch: 1, 2 and 4 bytes at each place, lowest byte first")
def scratch(target):
    with target.connect() as device:
        device.greet()
        expect_equal(device.read(SCRATCH, 4), FRESH, "its first value")
        memory = bytearray(FRESH.to_bytes(4, "little"))
        value = 0xa1b2c3d4
        for width in (1, 2, 4):
            for offset in range(0, 5 - width):
                value = value * 0x1010101 + 12345 & 0xffffffff
                memory[offset:offset + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
                device.write(SCRATCH + offset, value & (1 << 8 * width) - 1, width)
                for again in (1, 2, 4):
                    for place in range(0, 5 - again):
                        expect_equal(device.read(SCRATCH + place, again), int.from_bytes(memory[place:place + again], "little"),
                                     f"{again} bytes at {place} after a write of {width} at {offset}")


@check("FIFO: what went in comes out, once; 0xff when it is empty")
def fifo(target):
    with target.connect() as device:
        device.greet()
        expect_equal((device.read(FIFO), device.read(FILL)), (0xff, 0), "an empty FIFO, and its fill")
        for value in (7, 0, 255):
            device.write(FIFO, value)
        expect_equal(device.read(FILL), 3, "the fill")
        expect_equal([device.read(FIFO) for _ in range(4)], [7, 0, 255, 0xff], "what comes out")


@check("FIFO: 64 deep, and what is too much vanishes")
def fifo_deep(target):
    with target.connect() as device:
        device.greet()
        device.write_string(FIFO, 1, bytes(range(70)))
        expect_equal(device.read(FILL), 64, "the fill after 70 bytes")
        expect_equal(device.read_string(FIFO, 1, 66), bytes(range(64)) + b"\xff\xff", "what comes out")


@check("strings: all elements go to and come from the same place, in all widths")
def strings(target):
    with target.connect() as device:
        device.greet()
        device.write_string(FIFO, 1, b"a string")
        expect_equal(device.read_string(FIFO, 1, 8), b"a string", "the FIFO")
        for width in (2, 4):
            data = bytes(range(1, 3 * width + 1))
            device.write_string(SCRATCH, width, data)
            expect_equal(device.read_string(SCRATCH, width, 2), data[-width:] * 2, f"scratch after REP OUTS of {width} bytes")


@check("an interrupt line rises and falls before the write is answered")
def level(target):
    with target.connect() as device:
        device.greet(irqs=2)
        for value in (1, 0, 1):
            device.write(LEVEL, value)
            expect_equal(device.lines[-1:], [(0, value)], "SET_IRQ before the reply")
            expect_equal(device.read(LEVEL), value, "the level that the register has")


@check("without interrupt lines no SET_IRQ is sent")
def no_lines(target):
    with target.connect() as device:
        device.greet(irqs=0)
        device.write(LEVEL, 1)
        expect_equal(device.read(LEVEL), 1, "the level that the register has")


@check("an access may take its time")
def delay(target):
    with target.connect() as device:
        device.greet()
        began = time.monotonic()
        device.write(DELAY, 50)
        expect(time.monotonic() - began >= 0.049, "the reply has come early")
        expect_equal(device.read(DELAY), 50, "the register")


@check("memory is read and written")
def memory(target):
    with target.connect() as device:
        device.greet()
        device.memory[3:67] = bytes(range(200, 256)) + bytes(range(8))
        device.write(ADDRESS, device.base + 3, 4)
        expect_equal(device.read(ADDRESS, 4), device.base + 3, "the address register")
        device.write(INCREMENT, 64)
        expect_equal(device.read(INCREMENT), 0, "whether it went well")
        expect_equal(bytes(device.memory[:68]), bytes(3) + bytes(range(201, 256)) + bytes(range(9)) + bytes(1), "the memory")


@check("memory that was not given, and memory that is not there, are told apart from success")
def memory_refused(target):
    for offered, address, what in ((0, Connection.base, "no memory"), (MEMORY_READ, Connection.base, "memory that is read-only"),
                                   (MEMORY_READ | MEMORY_WRITE, 0xfffff000, "no RAM there")):
        with target.connect() as device:
            device.greet(offered=offered)
            device.write(ADDRESS, address, 4)
            device.write(INCREMENT, 8)
            expect_equal(device.read(INCREMENT), 1, f"whether it went well ({what})")
            expect_equal(bytes(device.memory), bytes(4096), f"the memory ({what})")


@check("max_data 16: strings and memory in pieces of 16 bytes")
def small_data(target):
    with target.connect() as device:
        expect_equal(device.greet(max_data=16)[0][3], 16, "max_data")
        device.write_string(FIFO, 1, bytes(range(16)))
        expect_equal(device.read_string(FIFO, 1, 16), bytes(range(16)), "the FIFO")
        device.write(ADDRESS, device.base, 4)
        device.write(INCREMENT, 40)
        expect_equal(bytes(device.memory[:41]), b"\1" * 40 + b"\0", "the memory")


@check("LOG has the text")
def log(target):
    with target.connect() as device:
        device.greet()
        device.write(SAY, 1)
        expect_equal(device.logs, ["conformance"], "what has been said before the reply")


@check("DEVICE_RESET sets everything back, and is counted")
def reset(target):
    with target.connect() as device:
        device.greet()
        for times in (1, 2):
            device.write(SCRATCH, 1, 4)
            device.write(FIFO, 1)
            device.write(LEVEL, 1)
            device.write(DELAY, 1)
            device.write(ADDRESS, 1, 4)
            device.write(INCREMENT, 1)
            device.reset()
            fresh(device, times)


def fresh(device, resets):
    got = (device.read(SCRATCH, 4), device.read(FIFO), device.read(FILL), device.read(LEVEL), device.read(DELAY),
           device.read(ADDRESS, 4), device.read(INCREMENT), device.read(RESETS))
    expect_equal(got, (FRESH, 0xff, 0, 0, 0, 0, 0, resets), "scratch, FIFO, fill, level, delay, address, increment, resets")


@check("DEVICE_RESET while an access is under way: both are answered")
def reset_under_way(target):
    with target.connect() as device:
        device.greet()
        slow = device.ask_write(DELAY, b"\xc8")
        device.reset()
        device.answer(slow, REGION_WRITE)
        fresh(device, 1)


@check("DEVICE_RESET while accesses wait behind a slow one: none of them is carried out any more")
def reset_of_waiting(target):
    with target.connect() as device:
        version = device.greet(offered=MEMORY_READ | MEMORY_WRITE | POSTED)[0]
        if version[2] & POSTED:
            device.post(DELAY, 100)
        waiting = [device.ask_write(FIFO, b"w") for _ in range(version[4])]
        device.reset()
        for number in waiting:
            device.answer(number, REGION_WRITE)
        fresh(device, 1)


@check("DEVICE_RESET in the middle of a string: the rest of it is not carried out")
def reset_in_a_string(target):
    with target.connect() as device:
        device.greet()
        slow = device.ask_write(DELAY, b"\x64" * 3)
        time.sleep(0.05)  # it is under way
        device.reset()
        device.answer(slow, REGION_WRITE)
        time.sleep(0.1)
        fresh(device, 1)


@check("DEVICE_RESET while an access is at the memory: nothing touches that after the reset's reply")
def reset_and_memory(target):
    with target.connect() as device:
        device.greet()
        device.write(ADDRESS, device.base, 4)
        access = device.ask_write(INCREMENT, b"\x08")
        frame = device.receive("DMA_READ was due")
        expect_equal(frame.command, DMA_READ, "the command of the device")
        whole, pieces = device.send_bytes, []
        device.send_bytes = pieces.append
        device.obey(frame)
        reset_ = device.send(DEVICE_RESET)
        device.send_bytes = whole
        device.send_bytes(b"".join(pieces))  # both at once
        device.granted = 0  # the memory is refused until the reply
        device.answer(reset_, DEVICE_RESET)
        device.obey = late
        device.answer(access, REGION_WRITE)
        fresh(device, 1)
        time.sleep(0.05)
        fresh(device, 1)


def late(frame):
    raise Failed(f"{name_of(frame.command)} came after the reset's reply")


@check("as many accesses at once as the device says it takes, in any order of the replies")
def pipelined(target):
    with target.connect() as device:
        requests = device.greet()[0][4]
        device.write(FIFO, 9)
        for round_ in range(3):
            places = [(SCRATCH, 4), (FILL, 1), (RESETS, 1), (SCRATCH + round_, 1)] * 64
            asked = [(device.ask_read(*place), place) for place in places[:requests]]
            for number, (offset, width) in asked:
                got = int.from_bytes(device.data(number, offset, width), "little")
                wanted = {FILL: 1, RESETS: 0}.get(offset, FRESH >> 8 * offset & (1 << 8 * width) - 1)
                expect_equal(got, wanted, f"{width} bytes at {offset}")


@check("a slow access does not hold up the others (max_requests > 1)")
def overtaking(target):
    with target.connect() as device:
        if device.greet()[0][4] < 2:
            raise Skipped("the device takes one access at once")
        slow = device.ask_write(DELAY, b"\xff")
        expect_equal(device.read(SCRATCH, 4), FRESH, "scratch")
        expect(slow not in device.answers, "the slow access was answered first")
        device.written(slow, DELAY, 1, 1)


@check("the numbers of frames are the monitor's, whatever they are")
def numbers(target):
    with target.connect() as device:
        device.greet()
        for number in (0, 0xffff, 0x8000, 0):
            device.send(REGION_READ, ACCESS.pack(SCRATCH, 0, 4, 0, 4), number=number)
            expect_equal(device.data(number, SCRATCH, 4), FRESH.to_bytes(4, "little"), "scratch")


@check("posted writes are not answered, and are done before a later read")
def posted(target):
    with target.connect() as device:
        if not device.greet(offered=MEMORY_READ | MEMORY_WRITE | POSTED)[0][2] & POSTED:
            raise Skipped("the device does not take posted writes")
        for value in range(20):
            device.post(FIFO, value)
        expect_equal(device.read(FILL), 20, "the fill after 20 posted writes")
        device.post(ADDRESS, device.base, 4)
        device.post(DELAY, 20)
        device.post(INCREMENT, 8)
        for value in range(20, 24):  # they come while the device waits for memory
            device.post(FIFO, value)
        expect_equal(device.read(INCREMENT), 0, "whether the increment went well")
        expect_equal(bytes(device.memory[:9]), b"\1" * 8 + b"\0", "the memory")
        expect_equal(device.read_string(FIFO, 1, 24), bytes(range(24)), "the FIFO")
        expect_equal(device.answers, {}, "replies to posted writes")


@check("more posted writes than a device can keep in mind: none is lost, none is answered")
def posted_flood(target):
    with target.connect() as device:
        if not device.greet(offered=POSTED)[0][2] & POSTED:
            raise Skipped("the device does not take posted writes")
        for first in range(0, 30000, 1000):
            frames = (ACCESS.pack(SCRATCH, 0, 4, 0, 4) + struct.pack("<I", n) for n in range(first, first + 1000))
            device.send_bytes(b"".join(HEADER.pack(n & 0xffff, REGION_WRITE, HEADER.size + len(frame), NO_REPLY, 0) + frame
                                       for n, frame in enumerate(frames)))
        expect_equal(device.read(SCRATCH, 4), 29999, "scratch after 30000 posted writes")
        expect_equal(device.answers, {}, "replies to posted writes")


@check("an unknown command is answered with ENOTSUP, and not at all if no answer is wanted")
def unknown(target):
    with target.connect() as device:
        device.greet()
        for command in (0x1234, 3, 0x8003, 0):
            device.send(command, b"payload", NO_REPLY)
            reply = device.answer(device.send(command, b"payload"), command)
            expect_equal(reply.error, ENOTSUP, f"the error for command {command:#x}")
        expect_equal(device.read(SCRATCH, 4), FRESH, "scratch")


@check("frames in pieces of one byte")
def split(target):
    with target.connect() as device:
        whole = device.send_bytes
        device.send_bytes = lambda data: [whole(data[at:at + 1]) for at in range(len(data))]
        device.greet()
        device.write(SCRATCH, 0xdeadbeef, 4)
        expect_equal(device.read(SCRATCH, 4), 0xdeadbeef, "scratch")


@check("several frames in one piece")
def joined(target):
    with target.connect() as device:
        device.greet()
        frames = []
        whole, device.send_bytes = device.send_bytes, frames.append
        for text in range(20):  # without answers, so that one that takes a request at a time gets as many
            device.send(0x4000 + text, b"x" * text, NO_REPLY)
        number = device.ask_read(SCRATCH, 4)
        whole(b"".join(frames))
        expect_equal(device.data(number, SCRATCH, 4), FRESH.to_bytes(4, "little"), "scratch")


@check("register 15 ends the connection, and the next one starts afresh")
def dropped(target):
    with target.connect() as device:
        device.greet()
        device.write(SCRATCH, 5, 4)
        device.reset()
        device.ask_write(DROP, b"\1")
        device.ends("after a write to register 15")
        if device.process:
            expect_equal(device.exit_code(), 0, "the program's exit code")
    with target.connect() as device:
        device.greet()
        fresh(device, 0)
        device.reset()
        fresh(device, 1)
