#!/usr/bin/env python3
"""The conformance device with one fault, which its environment variable FAULT names: the checker must find it."""
import os
import struct
import sys
import time

sys.path.insert(0, os.environ["DEVICE_CLIENTS"])
import asyncvm_device as library  # noqa: E402
from conformance import Conformance  # noqa: E402

FAULTS = {}  # name: (a part of the text of the check that must fail, what spoils the device)


def fault(name, check):
    def add(function):
        FAULTS[name] = check, function
        return function
    return add


def around(owner, name, wrapper):
    """Puts wrapper(the method as it was, its arguments) in place of a method."""
    was = getattr(owner, name)
    setattr(owner, name, lambda *arguments, **named: wrapper(was, *arguments, **named))


def in_answers(change):
    """change(frame, payload, error) gives another payload and error."""
    def answer(was, link, frame, payload=b"", error=0):
        return was(link, frame, *change(frame, payload, error))
    around(library.Link, "_answer", answer)


def in_version(form, at, value):
    def change(frame, payload, error):
        if frame.command == library.VERSION and payload:
            payload = bytearray(payload)
            struct.pack_into(form, payload, at, value)
        return bytes(payload), error
    in_answers(change)


fault("takes more", "takes no more than")(lambda: in_version("<I", 4, 7))
fault("no requests", "takes no more than")(lambda: in_version("<H", 12, 0))
fault("later minor", "later minor version")(lambda: in_version("<H", 2, 8))
fault("no name", "takes no more than")(
    lambda: in_answers(lambda frame, payload, error: (payload[:16] if frame.command == library.VERSION else payload, error)))
fault("any major", "another major version")(
    lambda: around(library.Link, "_greet", lambda was, link, frame: was(link, frame._replace(payload=b"\1\0" + frame.payload[2:]))))
fault("big endian", "scratch: 1, 2 and 4")(
    lambda: around(Conformance, "read", lambda was, self, at, width:
                   int.from_bytes(was(self, at, width).to_bytes(width, "little"), "big") if at < 4 else was(self, at, width)))


@fault("FIFO of 70", "64 deep")
def deeper():
    async def write(was, self, offset, width, value):
        if offset == 4:
            self.fifo.append(value)
        else:
            await was(self, offset, width, value)
    around(Conformance, "write", write)


@fault("half strings", "strings: all elements")
def half_strings():
    around(library.Device, "write_string", lambda was, self, region, offset, width, data: was(self, region, offset, width, data[:width]))


@fault("late interrupt", "rises and falls before")
def late_interrupt():
    around(library.Irq, "set", lambda was, self, level: library.asyncio.get_running_loop().call_later(0.1, was, self, level))


@fault("no delay", "may take its time")
def no_delay():
    async def at_once(_):
        pass
    library.asyncio.sleep = at_once


@fault("forgets to write", "memory is read and written")
def forgets_to_write():
    async def nothing(*_):
        pass
    library.Memory.write = nothing


@fault("says all went well", "told apart from success")
def all_well():
    around(Conformance, "read", lambda was, self, at, width: 0 if at == 12 else was(self, at, width))


@fault("large pieces", "in pieces of 16")
def large_pieces():
    def pieces(_, address, size):
        yield library.DMA.pack(address, size), slice(0, size)
    library.Memory._pieces = pieces


@fault("FIFO outlives a reset", "sets everything back")
def outlives():
    def reset(was, self):
        kept = self.fifo
        was(self)
        self.fifo = kept
        self.fifo.append(1)
    around(Conformance, "reset", reset)


@fault("carries out what waited", "none of them is carried out any more")
def carries_out():
    def take(was, link, frame):
        waited = [command for command in link._commands if not command.no_reply] if frame.command == library.DEVICE_RESET else []
        was(link, frame)
        link._commands.extend(command._replace(no_reply=True) for command in waited)
    around(library.Link, "_take", take)


def goes_on(was, *arguments):
    """Not cancelled with the access that waits for it."""
    return library.asyncio.shield(library.asyncio.ensure_future(was(*arguments)))


fault("goes on with a string", "in the middle of a string")(lambda: around(library.Device, "write_string", goes_on))


@fault("goes on at the memory", "nothing touches that after")
def goes_on_at_the_memory():
    async def write(was, *arguments):
        await library.asyncio.sleep(0.02)
        await was(*arguments)
    around(library.Memory, "write", write)
    around(Conformance, "increment", goes_on)


@fault("answers posted writes", "posted writes are not answered")
def answers_posted():
    around(library.Link, "_answer", lambda was, link, frame, payload=b"", error=0:
           was(link, frame._replace(no_reply=False), payload, error))


@fault("a request at a time", "does not hold up the others")
def one_at_a_time():
    def answer(was, link, frame, payload=b"", error=0):
        if frame.command == library.VERSION:
            link.device.max_requests = 4
        was(link, frame, payload, error)
        link.device.max_requests = 1
    around(library.Link, "_answer", answer)
    around(library.Link, "_take", lambda was, link, frame: (setattr(link, "_unanswered", 0), was(link, frame)))


@fault("knows all commands", "unknown command")
def knows_all():
    in_answers(lambda frame, payload, error: (payload, 0 if error == 95 else error))


@fault("takes each width", "malformed and impossible")
def each_width():
    in_answers(lambda frame, payload, error: (payload, 0 if error == 22 else error))


@fault("looks at half of an access", "malformed and impossible")
def half_an_access():
    def access(was, link, frame):
        payload = frame.payload
        return was(link, frame._replace(payload=payload[:11] + bytes(len(payload[11:12])) + payload[12:]))
    around(library.Link, "_access", access)


@fault("bears anything", "frames that are none")
def bears_anything():
    async def frame(was, reader, limit):
        try:
            return await was(reader, limit)
        except library.ProtocolError:
            time.sleep(60)
    around(library, "next_frame", frame)


@fault("stays", "says nothing more")
def stays():
    async def serve(was, *arguments):
        await was(*arguments)
        time.sleep(60)
    around(library.Link, "serve", serve)


@fault("crashes on noise", "noise")
def crashes():
    def take(was, link, frame):
        if frame.command > 0x100 and len(frame.payload) > 20:
            os.abort()
        return was(link, frame)
    around(library.Link, "_take", take)


@fault("does not start afresh", "starts afresh")
def not_afresh():
    def init(was, self):
        was(self)
        self.resets = 1
    around(Conformance, "__init__", init)


@fault("joins numbers", "numbers of frames")
def wrong_number():
    in_answers(lambda frame, payload, error: (payload, error))
    around(library.Link, "send", lambda was, link, command, payload=b"", flags=0x10, identity=None, error=0:
           was(link, command, payload, flags, identity and identity & 0x7fff, error))


@fault("says nothing", "LOG has the text")
def says_nothing():
    library.Device.log = lambda *_: None


if __name__ == "__main__":
    FAULTS[os.environ["FAULT"]][1]()
    library.run(Conformance)
