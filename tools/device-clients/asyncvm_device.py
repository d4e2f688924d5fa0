"""Devices of an asyncvm guest in Python: this file is all that is needed, with Python 3.9 or later. docs/remote-clients.md says
how to write one, docs/remote-devices.md what goes over the wire.

    class Dice(asyncvm_device.Device):
        def read(self, offset, width):
            return random.randint(1, 6)

    asyncvm_device.run(Dice)

Everything runs in one asyncio loop. Methods of a device may be plain functions or coroutines (`async def`)."""
import asyncio
import collections
import errno
import inspect
import os
import socket
import stat
import struct
import sys
import traceback

VERSION, REGION_READ, REGION_WRITE, DMA_READ, DMA_WRITE, DEVICE_RESET, SET_IRQ, LOG = 1, 9, 10, 11, 12, 13, 0x8001, 0x8002
REPLY, NO_REPLY, ERROR = 1, 0x10, 0x20  # flags of a frame
MEMORY_READ, MEMORY_WRITE, POSTED = 1, 2, 8  # capabilities
HEADER, HELLO, REGION, ACCESS, DMA = (struct.Struct("<" + form) for form in ("HHIII", "HHIIHH", "QQII", "QHBBI", "QQ"))
QUEUE_LIMIT = 4096  # commands that wait here before no more are read
USAGE, UNAVAILABLE, BROKEN = 64, 72, 76  # exit codes; 0: the monitor has left

Frame = collections.namedtuple("Frame", "number command reply no_reply error payload")
Region = collections.namedtuple("Region", "address size kind")  # kind: 0 ports, 1 memory


class ProtocolError(Exception):
    """The monitor has sent what the protocol does not have: the connection ends."""


class Refused(OSError):
    """What a device throws to answer with an error: Refused(errno.EIO). The guest reads ones, or its write is lost."""


async def next_frame(reader, limit):
    """The next frame of a stream, None at its end. Throws ProtocolError."""
    try:
        identity, command, size, flags, error = HEADER.unpack(await reader.readexactly(HEADER.size))
        reply, failed = flags & 15 == REPLY, bool(flags & ERROR)
        if not HEADER.size <= size <= limit:
            raise ProtocolError(f"a frame of {size} bytes: it may have {HEADER.size} to {limit}")
        if flags & ~(15 | NO_REPLY | ERROR) or flags & 15 > REPLY or failed and (not reply or size != HEADER.size):
            raise ProtocolError(f"a frame of {size} bytes with the flags {flags:#x}")
        payload = await reader.readexactly(size - HEADER.size)
    except asyncio.IncompleteReadError as end:
        if end.partial or end.expected != HEADER.size:
            raise ProtocolError("the monitor has left in the middle of a frame") from None
        return None
    except OSError:
        return None  # the connection has broken
    return Frame(identity, command, reply, bool(flags & NO_REPLY), error if failed else 0, payload)


class Irq:
    """An interrupt line. One that the machine does not have takes every level and does nothing."""

    def __init__(self, link, line):
        self._link, self._line, self.level = link, line, 0

    def set(self, level):
        """Level 1 asks for the interrupt, 0 takes that back. In effect before any answer that is given later."""
        self.level = 1 if level else 0
        if self._line < self._link.irqs:
            self._link.send(SET_IRQ, struct.pack("<II", self._line, self.level))


class Memory:
    """The guest's memory, by guest-physical addresses. Throws OSError: EACCES where none was given (memory=none or ro), EFAULT
    where there is no RAM."""

    def __init__(self, link):
        self._link = link

    async def read(self, address, size):
        pieces = []
        for place, _ in self._pieces(address, size):
            payload = await self._link.ask(DMA_READ, place)
            if payload[:DMA.size] != place or len(payload) != DMA.size + DMA.unpack(place)[1]:
                raise ProtocolError("the answer to DMA_READ is not what was asked for")
            pieces.append(payload[DMA.size:])
        return b"".join(pieces)

    async def write(self, address, data):
        for place, piece in self._pieces(address, len(data)):
            if await self._link.ask(DMA_WRITE, place + bytes(data[piece])) != place:
                raise ProtocolError("the answer to DMA_WRITE is not what was asked for")

    def _pieces(self, address, size):
        for start in range(0, size, self._link.max_data):
            count = min(self._link.max_data, size - start)
            yield DMA.pack(address + start, count), slice(start, start + count)


class Device:
    """What an author derives from. Each connection gets an object of its own."""
    name = None  # what the monitor calls it (64 bytes at most); the class's name in small letters if there is none
    max_requests = 1  # accesses that may be under way at once (256 at most): for devices whose read() or write() is a coroutine
    posted = False  # whether the guest may go on before write() has seen what it wrote
    regions, irqs, irq, memory = (), (), None, None  # set when the monitor has come: Regions, Irqs, the first Irq, Memory

    async def run(self):
        """Background work: begins when the monitor has come, and is cancelled when it leaves."""

    def read(self, offset, width):
        """The guest reads width bytes (1, 2, 4, 8): an int, of which the lowest bytes count."""
        return -1

    def write(self, offset, width, value):
        """The guest writes width bytes."""

    def reset(self):
        """The machine has been reset: accesses that were under way are cancelled, the lines are low."""

    def read_at(self, region, offset, width):
        """read() for a device with more than one region."""
        return self.read(offset, width)

    def write_at(self, region, offset, width, value):
        return self.write(offset, width, value)

    async def read_string(self, region, offset, width, count):
        """REP INS: count elements of width bytes, as bytes."""
        return b"".join([to_bytes(await settled(self.read_at(region, offset, width)), width) for _ in range(count)])

    async def write_string(self, region, offset, width, data):
        """REP OUTS: data are elements of width bytes."""
        for at in range(0, len(data), width):
            await settled(self.write_at(region, offset, width, int.from_bytes(data[at:at + width], "little")))

    def log(self, text, level="info"):
        """A line in the monitor's log: error, warning or info; 1024 bytes at most."""
        text = text.encode()[:1024].decode(errors="ignore").encode()
        self._link.send(LOG, struct.pack("<I", ["error", "warning", "info"].index(level)) + text)

    def drop(self):
        """Ends the connection."""
        self._link.close()


def to_bytes(value, width):
    return (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")


async def settled(result):
    return await result if inspect.isawaitable(result) else result


async def reported(coroutine):
    try:
        await coroutine
    except Exception:  # the author's code: whatever it throws
        traceback.print_exc()


class Link:
    """One connection: frames in, frames out, the device between them."""

    def __init__(self, device, reader, writer):
        self.device, self.irqs, self.max_data, self.name = device, 0, 16, device.name or type(device).__name__.lower()
        self._reader, self._writer, self._limit = reader, writer, HEADER.size + HELLO.size + 16 * REGION.size
        self._commands, self._came, self._room, self._unanswered = collections.deque(), asyncio.Event(), asyncio.Event(), 0
        self._asked, self._identity, self._running, self._background = {}, 0, set(), []
        device._link = self

    async def serve(self):
        """Until the monitor leaves. Throws ProtocolError."""
        take = self._greet
        self._background.append(asyncio.ensure_future(self._work()))
        try:
            while frame := await next_frame(self._reader, self._limit):
                take(frame)
                take = self._take
                # More commands stay in the socket, unless the device waits for an answer behind them.
                while len(self._commands) >= QUEUE_LIMIT and not self._asked:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self.close()
            tasks = [*self._background, *self._running]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def close(self):
        self._writer.close()

    def send(self, command, payload=b"", flags=NO_REPLY, identity=None, error=0):
        if not self._writer.is_closing():
            identity = self._number() if identity is None else identity
            self._writer.write(HEADER.pack(identity, command, HEADER.size + len(payload), flags, error) + payload)

    def _number(self):
        self._identity = (self._identity + 1) & 0xffff
        return self._number() if self._identity in self._asked else self._identity

    async def ask(self, command, payload):
        """A command of the device: its answer's payload. Throws OSError for an error reply."""
        identity, answer = self._number(), asyncio.get_running_loop().create_future()
        self._asked[identity] = command, answer
        self.send(command, payload, 0, identity)
        self._room.set()
        frame = await answer
        if frame.error:
            raise OSError(frame.error, f"the guest's memory: {os.strerror(frame.error)}")
        return frame.payload

    def _greet(self, frame):
        device, payload = self.device, frame.payload
        if frame.command != VERSION or frame.reply or len(payload) < HELLO.size:
            raise ProtocolError(f"the first frame is not a VERSION but command {frame.command} with {len(payload)} bytes")
        major, minor, offered, max_data, self.irqs, regions = HELLO.unpack_from(payload)
        if major != 1:
            raise ProtocolError(f"the monitor speaks version {major}.{minor}, this device 1.0")
        if len(payload) != HELLO.size + regions * REGION.size or max_data < 16:
            raise ProtocolError("VERSION has not the size that its regions need, or offers less than 16 bytes of data")
        device.regions = [Region(*REGION.unpack_from(payload, HELLO.size + n * REGION.size)[:3]) for n in range(regions)]
        device.irqs = [Irq(self, line) for line in range(self.irqs)]
        device.irq, device.memory = device.irqs[0] if device.irqs else Irq(self, 0), Memory(self)
        taken = offered & (MEMORY_READ | MEMORY_WRITE | (POSTED if device.posted else 0))
        self.max_data = min(max_data, 1 << 20)
        self._limit, self._unanswered = HEADER.size + ACCESS.size + self.max_data, 1
        self._answer(frame, HELLO.pack(1, 0, taken, self.max_data, device.max_requests, 0) + self.name.encode())
        self._background.append(asyncio.ensure_future(reported(device.run())))

    def _take(self, frame):
        if frame.reply:
            command, answer = self._asked.pop(frame.number, (None, None))
            if frame.command != command:
                raise ProtocolError(f"an answer to command {frame.command} with the number {frame.number}, which was not asked")
            if not answer.done():
                answer.set_result(frame)
            return
        if frame.command == DEVICE_RESET:
            for task in self._running:
                task.cancel()
            for waiting in [command for command in self._commands if not command.no_reply]:
                self._commands.remove(waiting)
                self._answer(waiting, error=errno.ECANCELED)
        elif not frame.no_reply and self._unanswered >= self.device.max_requests:
            self.send(frame.command, b"", REPLY | ERROR, frame.number, errno.EBUSY)
            return
        self._unanswered += not frame.no_reply
        self._commands.append(frame)
        self._came.set()

    def _answer(self, frame, payload=b"", error=0):
        if not frame.no_reply:
            self._unanswered -= 1
            self.send(frame.command, b"" if error else payload, REPLY | (ERROR if error else 0), frame.number, error)

    async def _work(self):
        while True:
            while not self._commands:
                self._came.clear()
                await self._came.wait()
            frame = self._commands.popleft()
            self._room.set()
            if frame.no_reply or frame.command == DEVICE_RESET:
                await self._perform(frame)  # whatever comes later finds its effect
                continue
            task = asyncio.ensure_future(self._perform(frame))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            await (asyncio.wait({task}) if self.device.max_requests == 1 else asyncio.sleep(0))

    async def _perform(self, frame):
        error = 0
        try:
            self._answer(frame, await self._access(frame))
        except asyncio.CancelledError:
            self._answer(frame, error=errno.ECANCELED)
            raise
        except Refused as refusal:
            error = refusal.errno or (refusal.args or [errno.EIO])[0]
        except OSError as failure:
            print(f"{self.name}: {failure}", file=sys.stderr)
            error = failure.errno or errno.EIO
        except Exception:  # the author's code: whatever it throws
            traceback.print_exc()
            error = errno.EIO
        if error:
            self._answer(frame, error=error)

    async def _access(self, frame):
        device, what, data = self.device, frame.payload[:ACCESS.size], frame.payload[ACCESS.size:]
        if frame.command == DEVICE_RESET:
            for line in device.irqs:
                line.level = 0
            await settled(device.reset())
            return b""
        if frame.command not in {REGION_READ, REGION_WRITE}:
            raise Refused(errno.EINVAL if frame.command == VERSION else errno.ENOTSUP)
        if len(what) < ACCESS.size:
            raise Refused(errno.EINVAL)
        offset, region, width, zero, count = ACCESS.unpack(what)
        reads = frame.command == REGION_READ
        if (width not in {1, 2, 4, 8} or zero or not count or count % width or count > self.max_data
                or len(data) != (0 if reads else count) or region >= len(device.regions)
                or offset + width > device.regions[region].size):
            raise Refused(errno.EINVAL)
        if reads and count == width:
            return what + to_bytes(await settled(device.read_at(region, offset, width)), width)
        if reads:
            return what + await settled(device.read_string(region, offset, width, count // width))
        if count == width:
            await settled(device.write_at(region, offset, width, int.from_bytes(data, "little")))
        else:
            await settled(device.write_string(region, offset, width, data))
        return what


def place(text):
    """The family and the address of unix:PATH or tcp:[HOST:]PORT. Throws ValueError, OSError."""
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest:
        return socket.AF_UNIX, rest
    host, _, port = rest.rpartition(":")
    if kind == "tcp" and port.isdigit():
        return socket.getaddrinfo(host.strip("[]") or "localhost", int(port), type=socket.SOCK_STREAM)[0][::4]
    raise ValueError(f"'{text}' is no address: unix:PATH or tcp:[HOST:]PORT, as it is or after listen:")


async def standard_streams():
    """Standard input and output as the connection; what the program prints then goes to the standard error."""
    reader, writer = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    if stat.S_ISSOCK(os.fstat(reader).st_mode):
        os.close(writer)
        return await asyncio.open_connection(sock=socket.socket(fileno=reader))
    loop, stream = asyncio.get_running_loop(), asyncio.StreamReader()  # two pipes
    protocol = asyncio.StreamReaderProtocol(stream)
    reading, _ = await loop.connect_read_pipe(lambda: protocol, open(reader, "rb", 0))
    writing, _ = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, open(writer, "wb", 0))
    stream_writer = asyncio.StreamWriter(writing, protocol, stream, loop)
    stream_writer.close = lambda: (writing.close(), reading.close())
    return stream, stream_writer


async def connected(address):
    """A socket to an address at which the monitor is within ten seconds."""
    family, where = place(address)
    for attempt in range(100, 0, -1):
        connection = socket.socket(family)
        try:
            return connection.connect(where) or connection
        except OSError as error:
            connection.close()
            if attempt == 1 or error.errno not in {errno.ENOENT, errno.ECONNREFUSED}:
                raise
        await asyncio.sleep(0.1)


async def serve(make, address=None):
    """Serves a device, for as long as the monitor is there; with listen: one monitor after the other, without end. make() gives
    the device of a connection. Throws ProtocolError, OSError, ValueError."""
    if address is None:
        return await Link(make(), *await standard_streams()).serve()
    if not address.startswith("listen:"):
        return await Link(make(), *await asyncio.open_connection(sock=await connected(address))).serve()
    family, where = place(address[len("listen:"):])
    with socket.socket(family) as listener:
        if family == socket.AF_UNIX and os.path.exists(where) and stat.S_ISSOCK(os.stat(where).st_mode):
            os.unlink(where)  # an earlier run's
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen()
        listener.setblocking(False)
        print(f"{sys.argv[0]}: listens on {address[len('listen:'):]}", file=sys.stderr, flush=True)
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            try:
                await Link(make(), *await asyncio.open_connection(sock=connection)).serve()
            except ProtocolError as error:
                print(f"{sys.argv[0]}: {error}", file=sys.stderr)


def run(make):
    """Serves a device at the address on the command line, or on the standard streams if there is none (exec=); ends the program."""
    addresses = sys.argv[1:]
    carries = stat.S_ISSOCK(os.fstat(0).st_mode) or stat.S_ISFIFO(os.fstat(0).st_mode)
    try:
        if len(addresses) > 1 or not addresses and not carries:
            raise ValueError("asyncvm starts this program with exec=, or it takes one address: [listen:]unix:PATH|tcp:[HOST:]PORT")
        code = asyncio.run(serve(make, *addresses)) or 0
    except KeyboardInterrupt:
        code = 130
    except OSError as error:
        print(f"{sys.argv[0]}: {' '.join(addresses)}: {error.strerror}", file=sys.stderr)
        code = UNAVAILABLE
    except (ValueError, ProtocolError) as error:
        print(f"{sys.argv[0]}: {error}", file=sys.stderr)
        code = USAGE if isinstance(error, ValueError) else BROKEN
    sys.exit(code)
