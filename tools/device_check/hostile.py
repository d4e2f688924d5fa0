"""What a device has to bear: malformed commands, frames that are none, peers that leave, and noise."""
import random
import socket

from .checks import FRESH, SCRATCH, check
from .monitor import (ACCESS, DEVICE_RESET, DMA_READ, EINVAL, ERROR, HEADER, LOG, MEMORY_READ, MEMORY_WRITE, NO_REPLY, POSTED,
                      REGION_READ, REGION_WRITE, REPLY, SET_IRQ, VERSION, Ended, expect, expect_equal)

ROUNDS = 30
seed = 1  # of the noise; asyncvm-device's --seed


@check("malformed and impossible accesses are answered with EINVAL, and change nothing")
def malformed(target):
    with target.connect() as device:
        device.greet(max_data=64)
        cases = {
            "a width of 3": (REGION_READ, ACCESS.pack(0, 0, 3, 0, 3)),
            "a width of 0": (REGION_READ, ACCESS.pack(0, 0, 0, 0, 0)),
            "a width of 16": (REGION_READ, ACCESS.pack(0, 0, 16, 0, 16)),
            "no bytes": (REGION_READ, ACCESS.pack(0, 0, 1, 0, 0)),
            "half an element": (REGION_READ, ACCESS.pack(0, 0, 4, 0, 6)),
            "more than max_data": (REGION_READ, ACCESS.pack(4, 0, 1, 0, 65)),
            "a byte that has to be 0": (REGION_READ, ACCESS.pack(0, 0, 4, 1, 4)),
            "a region that is not there": (REGION_READ, ACCESS.pack(0, 1, 1, 0, 1)),
            "an offset behind the region": (REGION_READ, ACCESS.pack(16, 0, 1, 0, 1)),
            "an access across the region's end": (REGION_READ, ACCESS.pack(15, 0, 4, 0, 4)),
            "an offset at the end of all numbers": (REGION_READ, ACCESS.pack((1 << 64) - 1, 0, 4, 0, 4)),
            "a payload that is too short": (REGION_READ, ACCESS.pack(0, 0, 4, 0, 4)[:15]),
            "a payload that is too long": (REGION_READ, ACCESS.pack(0, 0, 4, 0, 4) + b"x"),
            "no payload": (REGION_READ, b""),
            "a write of fewer bytes than it says": (REGION_WRITE, ACCESS.pack(0, 0, 4, 0, 4) + b"xyz"),
            "a write of more bytes than it says": (REGION_WRITE, ACCESS.pack(0, 0, 1, 0, 1) + b"xyz"),
            "a write without payload": (REGION_WRITE, b""),
            "a write with a byte that has to be 0": (REGION_WRITE, ACCESS.pack(0, 0, 4, 0x80, 4) + b"abcd"),
            "a write across the region's end": (REGION_WRITE, ACCESS.pack(13, 0, 4, 0, 4) + b"abcd"),
        }
        for what, (command, payload) in cases.items():
            device.send(command, payload, NO_REPLY)
            reply = device.answer(device.send(command, payload), command)
            expect_equal(reply.error, EINVAL, f"the error for {what}")
            expect_equal(device.read(SCRATCH, 4), FRESH, f"scratch after {what}")


BROKEN = {
    "a size of 0": HEADER.pack(7, REGION_READ, 0, 0, 0),
    "a size of 15": HEADER.pack(7, REGION_READ, 15, 0, 0),
    "a size of 4 GiB": HEADER.pack(7, REGION_READ, 0xffffffff, 0, 0),
    "a size above the limit": HEADER.pack(7, REGION_WRITE, HEADER.size + ACCESS.size + 65, 0, 0),
    "type 2": HEADER.pack(7, REGION_READ, 16, 2, 0),
    "a flag that nobody knows": HEADER.pack(7, REGION_READ, 16, 0x40, 0),
    "an error that is no reply": HEADER.pack(7, REGION_READ, 16, ERROR, 5),
    "a reply that nobody waits for": HEADER.pack(7, DMA_READ, 16, REPLY, 0),
}


@check("frames that are none end the connection, and the next one works")
def broken(target):
    for what, data in BROKEN.items():
        with target.connect() as device:
            device.greet(max_data=64)
            device.send_bytes(data)
            device.ends(what)
    works(target)


def works(target):
    with target.connect() as device:
        device.greet()
        expect_equal(device.read(SCRATCH, 4), FRESH, "scratch on the next connection")


@check("a frame that is not whole ends with the connection")
def half_a_frame(target):
    for size in (1, 15, 17, 31):
        with target.connect() as device:
            device.greet()
            device.send_bytes((HEADER.pack(7, REGION_READ, 32, 0, 0) + ACCESS.pack(0, 0, 4, 0, 4))[:size])
            device.stream.shutdown(socket.SHUT_WR)
            device.ends(f"{size} bytes of a frame, and then the end")
    works(target)


@check("a monitor that says nothing more, and one that leaves with an access under way")
def half_closed(target):
    with target.connect() as device:
        device.greet()
        device.stream.shutdown(socket.SHUT_WR)
        device.ends("after the monitor's end")
        if device.process:
            expect_equal(device.exit_code(), 0, "the program's exit code when the monitor has left")
    with target.connect() as device:
        device.greet()
        device.ask_write(7, b"\x64")
    with target.connect() as device:
        if device.greet(offered=POSTED)[0][2] & POSTED:
            device.post(7, 100)
            device.post(4, 1)
    with target.connect() as device:
        device.stream.shutdown(socket.SHUT_WR)
        device.ends("a monitor that has said nothing at all")
    works(target)


def mutated(chance, device):
    """A frame that is nearly right."""
    frame = bytearray(valid(chance, device))
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        at = chance.randrange(len(frame))
        frame[at] = chance.choice((0, 1, 0xff, frame[at] ^ 1 << chance.randrange(8), chance.randrange(256)))
    return bytes(frame[:chance.randrange(len(frame))] if chance.random() < 0.05 else frame)


def valid(chance, device):
    width = chance.choice((1, 2, 4, 8))
    count = width * chance.choice((1, 1, 1, 2, 5))
    # Not register 7, which takes its time, nor 15, which ends the connection.
    access = ACCESS.pack(chance.choice((0, 1, 3, 4, 5, 6, 8, 12, 13, 14)), 0, width, 0, count)
    command, payload = chance.choice((
        (REGION_READ, access), (REGION_READ, access), (REGION_WRITE, access + chance.randbytes(count)), (DEVICE_RESET, b""),
        (VERSION, device.hello()), (SET_IRQ, bytes(8)), (LOG, bytes(5)),
        (chance.randrange(1 << 16), chance.randbytes(chance.randrange(40)))))
    flags = chance.choice((0, 0, 0, NO_REPLY))
    return HEADER.pack(chance.randrange(1 << 16), command, HEADER.size + len(payload), flags, 0) + payload


@check("noise: mutated frames and random bytes, which no device may hang or crash on")
def noise(target):
    for round_ in range(ROUNDS):
        chance = random.Random(seed * 1000 + round_)
        with target.connect() as device:
            try:
                if round_ % 10:
                    device.greet(offered=MEMORY_READ | MEMORY_WRITE | POSTED, max_data=chance.choice((16, 64, 4096)))
                for _ in range(100):
                    device.send_bytes(mutated(chance, device) if round_ % 5 else chance.randbytes(chance.randrange(1, 200)))
                device.stream.shutdown(socket.SHUT_WR)
            except (Ended, OSError):
                pass  # it was too much for the device, which may say so
            device.ends(f"noise of round {round_} (--seed {seed})")
            if device.process:
                code = device.exit_code()
                expect(code >= 0 and code < 128, f"the program has ended with {code} on noise of round {round_} (--seed {seed})")
    works(target)
