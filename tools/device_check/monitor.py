"""The monitor's end of the protocol of docs/remote-devices.md, without a guest: connections to a device, frames, accesses, a piece
of memory, interrupt lines."""
import collections
import os
import signal
import socket
import struct
import subprocess
import time

VERSION, REGION_READ, REGION_WRITE, DMA_READ, DMA_WRITE, DEVICE_RESET, SET_IRQ, LOG = 1, 9, 10, 11, 12, 13, 0x8001, 0x8002
NAMES = {VERSION: "VERSION", REGION_READ: "REGION_READ", REGION_WRITE: "REGION_WRITE", DMA_READ: "DMA_READ",
         DMA_WRITE: "DMA_WRITE", DEVICE_RESET: "DEVICE_RESET", SET_IRQ: "SET_IRQ", LOG: "LOG"}
REPLY, NO_REPLY, ERROR = 1, 0x10, 0x20
MEMORY_READ, MEMORY_WRITE, POSTED = 1, 2, 8
EACCES, EFAULT, EINVAL, ENOTSUP = 13, 14, 22, 95
HEADER, HELLO, REGION, ACCESS, DMA = (struct.Struct("<" + form) for form in ("HHIII", "HHIIHH", "QQII", "QHBBI", "QQ"))
# Seconds for what a device does at once.
PATIENCE = float(os.environ.get("DEVICE_PATIENCE", 10)) * (4 if os.environ.get("TEST_PATIENCE") else 1)

Frame = collections.namedtuple("Frame", "number command flags error payload")


class Failed(Exception):
    """The device does not do what the protocol says: the text says what it did instead."""


class Skipped(Exception):
    """The device need not do this."""


class Ended(Failed):
    """The device has ended the connection."""


class Unreachable(Exception):
    """There is no device to check."""


def expect(true, text):
    if not true:
        raise Failed(text)


def expect_equal(got, wanted, what):
    expect(got == wanted, f"{what}: {got!r} instead of {wanted!r}")


def name_of(command):
    return NAMES.get(command, f"command {command:#x}")


class Connection:
    """One connection. The memory is at base; lines and logs are what the device has sent so far."""
    base = 0x10000

    def __init__(self, stream, process=None):
        self.stream, self.process = stream, process
        self.memory, self.granted, self.lines, self.logs, self.max_data = bytearray(4096), 0, [], [], 1 << 16
        self.irqs, self.next, self.answers, self._data = 0, 0, {}, b""
        stream.settimeout(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stream.close()
        if self.process and kind:
            self.kill()
        elif self.process:
            self.exit_code()

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def exit_code(self):
        """How the device's program has ended, which it does when the connection has."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed("the program still runs although its connection has ended") from None

    # Frames.
    def send_bytes(self, data):
        try:
            self.stream.sendall(data)
        except OSError as error:
            raise Ended(f"the device has ended the connection: {error.strerror}") from None

    def send(self, command, payload=b"", flags=0, number=None, error=0):
        """Sends a frame: its number."""
        if number is None:
            self.next = number = self.next + 1 & 0xffff
        self.send_bytes(HEADER.pack(number, command, HEADER.size + len(payload), flags, error) + payload)
        return number

    def _take(self, size, what):
        while len(self._data) < size:
            try:
                more = self.stream.recv(65536)
            except socket.timeout:
                raise Failed(f"nothing came within {PATIENCE} s: {what}") from None
            except OSError:
                more = b""
            if not more:
                raise Ended(f"the device has ended the connection: {what}")
            self._data += more
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def receive(self, what="a frame was due"):
        """The next frame, well formed."""
        number, command, size, flags, error = HEADER.unpack(self._take(HEADER.size, what))
        frame = f"a frame of the device, {name_of(command)}, number {number}"
        limit = max(1044, HEADER.size + ACCESS.size + self.max_data)
        expect(HEADER.size <= size <= limit, f"{frame}: {size} bytes, but {HEADER.size} to {limit} are allowed")
        expect(flags & 15 in {0, 1} and not flags & ~0x3f, f"{frame}: the flags are {flags:#x}")
        expect(not flags & ERROR or flags & REPLY and size == HEADER.size, f"{frame}: an error that is no reply or has a payload")
        expect(flags & ERROR or not error, f"{frame}: error number {error} without the error bit")
        return Frame(number, command, flags, error, self._take(size - HEADER.size, f"in the middle of {frame}"))

    def answer(self, number, command):
        """The reply to a command, after what the device has sent before it."""
        while number not in self.answers:
            frame = self.receive(f"the reply to {name_of(command)} was due")
            if frame.flags & REPLY:
                expect(frame.number not in self.answers, f"two replies with the number {frame.number}")
                self.answers[frame.number] = frame
            else:
                self.obey(frame)
        reply = self.answers.pop(number)
        expect(reply.command == command, f"the reply to {name_of(command)} says it is one to {name_of(reply.command)}")
        return reply

    def obey(self, frame):
        """A command of the device."""
        error, payload = 0, b""
        if frame.command == SET_IRQ:
            line, level = struct.unpack("<II", frame.payload)
            expect(line < self.irqs and level <= 1, f"SET_IRQ of line {line} to {level}, but there are {self.irqs} lines")
            self.lines.append((line, level))
        elif frame.command == LOG:
            expect(4 <= len(frame.payload) <= 1028 and frame.payload[0] <= 2, "LOG has no level from 0 to 2, or more than 1024 bytes")
            self.logs.append(frame.payload[4:].decode())
        elif frame.command in {DMA_READ, DMA_WRITE}:
            error, payload = self._dma(frame)
        else:
            raise Failed(f"the device has sent {name_of(frame.command)}, which is no command of a device")
        if not frame.flags & NO_REPLY:
            self.send(frame.command, b"" if error else payload, REPLY | (ERROR if error else 0), frame.number, error)

    def _dma(self, frame):
        writes = frame.command == DMA_WRITE
        expect(len(frame.payload) >= DMA.size, f"{name_of(frame.command)} has a payload of {len(frame.payload)} bytes")
        place, data = frame.payload[:DMA.size], frame.payload[DMA.size:]
        address, count = DMA.unpack(place)
        expect(0 < count <= self.max_data, f"{name_of(frame.command)} of {count} bytes; the connection's limit is {self.max_data}")
        expect_equal(len(data), count if writes else 0, f"bytes behind the {DMA.size} of {name_of(frame.command)}")
        if not self.granted & (MEMORY_WRITE if writes else MEMORY_READ):
            return EACCES, b""
        at = address - self.base
        if at < 0 or at + count > len(self.memory):
            return EFAULT, b""
        if writes:
            self.memory[at:at + count] = data
            return 0, place
        return 0, place + bytes(self.memory[at:at + count])

    # What the monitor asks for.
    def hello(self, offered=MEMORY_READ | MEMORY_WRITE, max_data=4096, irqs=1, version=(1, 0), regions=((0x300, 16, 0),)):
        """The frame that begins a conversation, its payload."""
        self.irqs, self.granted = irqs, offered
        return HELLO.pack(*version, offered, max_data, irqs, len(regions)) + b"".join(REGION.pack(*r, 0) for r in regions)

    def greet(self, **options):
        """VERSION and its reply: (major, minor, capabilities, max_data, max_requests), the name."""
        payload = self.hello(**options)
        reply = self.answer(self.send(VERSION, payload), VERSION)
        expect(not reply.error, f"VERSION was answered with error {reply.error}")
        expect(HELLO.size < len(reply.payload) <= HELLO.size + 64, "VERSION's reply has no name of 1 to 64 bytes")
        major, minor, taken, self.max_data, requests, zero = HELLO.unpack_from(reply.payload)
        offered = HELLO.unpack_from(payload)
        expect_equal((major, zero), (1, 0), "the major version, and the field that is 0")
        expect(minor <= offered[1], f"minor version {minor} is taken, {offered[1]} was offered")
        expect(not taken & ~offered[2], f"capabilities {taken:#x} are taken, {offered[2]:#x} were offered")
        expect(16 <= self.max_data <= offered[3], f"max_data {self.max_data} is taken, 16 to {offered[3]} were offered")
        expect(1 <= requests <= 256, f"max_requests is {requests}, not 1 to 256")
        self.granted &= taken
        return (major, minor, taken, self.max_data, requests), reply.payload[HELLO.size:].decode()

    def ask_read(self, offset, width=1, count=1, region=0):
        return self.send(REGION_READ, ACCESS.pack(offset, region, width, 0, width * count))

    def data(self, number, offset, width=1, count=1, region=0):
        """The bytes that a REGION_READ is answered with."""
        reply = self.answer(number, REGION_READ)
        expect(not reply.error, f"the read of {width} bytes at {offset} was answered with error {reply.error}")
        expect_equal(reply.payload[:ACCESS.size], ACCESS.pack(offset, region, width, 0, width * count),
                     "the first 16 bytes of REGION_READ's reply")
        expect_equal(len(reply.payload) - ACCESS.size, width * count, "the bytes behind them")
        return reply.payload[ACCESS.size:]

    def read(self, offset, width=1):
        return int.from_bytes(self.data(self.ask_read(offset, width), offset, width), "little")

    def read_string(self, offset, width, count):
        return self.data(self.ask_read(offset, width, count), offset, width, count)

    def ask_write(self, offset, data, width=1, flags=0):
        return self.send(REGION_WRITE, ACCESS.pack(offset, 0, width, 0, len(data)) + data, flags)

    def written(self, number, offset, width, count):
        reply = self.answer(number, REGION_WRITE)
        expect(not reply.error, f"the write of {count} bytes to {offset} was answered with error {reply.error}")
        expect_equal(reply.payload, ACCESS.pack(offset, 0, width, 0, count), "the payload of REGION_WRITE's reply")

    def write(self, offset, value, width=1):
        self.written(self.ask_write(offset, value.to_bytes(width, "little"), width), offset, width, width)

    def write_string(self, offset, width, data):
        self.written(self.ask_write(offset, data, width), offset, width, len(data))

    def post(self, offset, value, width=1):
        """A write that nobody waits for."""
        self.ask_write(offset, value.to_bytes(width, "little"), width, NO_REPLY)

    def reset(self):
        reply = self.answer(self.send(DEVICE_RESET), DEVICE_RESET)
        expect(not reply.error and not reply.payload, "DEVICE_RESET's reply is an error or has a payload")

    def ends(self, what):
        """Waits for the end of the connection; what comes before it is not looked at."""
        try:
            while self.stream.recv(65536):
                pass
        except socket.timeout:
            raise Failed(f"{what}: the connection has not ended within {PATIENCE} s") from None
        except OSError:
            pass


class Target:
    """Where connections to the device come from: an address at which it listens, one at which it calls, or a command."""

    def __init__(self, command=None, connect=None, listen=None):
        self.command, self.connect_to, self.listener = command, connect, None
        if listen:
            family, where = place(listen)
            self.listener = socket.socket(family)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                self.listener.bind(where)
            except OSError as error:
                raise Unreachable(f"cannot listen on {listen}: {error.strerror}") from None
            self.listener.listen()
            self.listener.settimeout(PATIENCE)

    def connect(self):
        if self.listener:
            try:
                return Connection(self.listener.accept()[0])
            except socket.timeout:
                raise Unreachable(f"no device has called within {PATIENCE} s") from None
        return self._start() if self.command else self._dial()

    def _start(self):
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(self.command, stdin=theirs, stdout=theirs, start_new_session=True)
            except OSError as error:
                raise Unreachable(f"cannot start {self.command[0]}: {error.strerror}") from None
        return Connection(ours, process)

    def _dial(self):
        family, where = place(self.connect_to)
        limit = time.monotonic() + PATIENCE
        while True:
            stream = socket.socket(family)
            try:
                stream.connect(where)
                return Connection(stream)
            except OSError as error:
                stream.close()
                if time.monotonic() > limit or not isinstance(error, (ConnectionError, FileNotFoundError)):
                    raise Unreachable(f"no device is at {self.connect_to}: {error.strerror}") from None
            time.sleep(0.05)


def place(text):
    """The family and the address of unix:PATH or tcp:[HOST:]PORT. Throws ValueError."""
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest:
        return socket.AF_UNIX, rest
    host, _, port = rest.rpartition(":")
    if kind == "tcp" and port.isdigit():
        return socket.getaddrinfo(host.strip("[]") or "localhost", int(port), type=socket.SOCK_STREAM)[0][::4]
    raise ValueError(f"'{text}' is no address: unix:PATH or tcp:[HOST:]PORT")
