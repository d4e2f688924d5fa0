// Devices of an asyncvm guest in JavaScript: this file is all that is needed, with Node 18 or later. docs/remote-clients.md says how
// to write one, docs/remote-devices.md what goes over the wire.
//
//     const { Device, run } = require('./asyncvm_device.js');
//     class Dice extends Device {
//         read() { return 1 + Math.floor(6 * Math.random()); }
//     }
//     run(Dice);
//
// Methods of a device may give a value or a promise of one.
'use strict';
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const { AsyncLocalStorage } = require('node:async_hooks');
const { once } = require('node:events');
const { setTimeout: sleep } = require('node:timers/promises');

const VERSION = 1, REGION_READ = 9, REGION_WRITE = 10, DMA_READ = 11, DMA_WRITE = 12, DEVICE_RESET = 13, SET_IRQ = 0x8001, LOG = 0x8002;
const REPLY = 1, NO_REPLY = 0x10, ERROR = 0x20; // flags of a frame
const MEMORY_READ = 1, MEMORY_WRITE = 2, POSTED = 8; // capabilities
const HEADER = 16, HELLO = 16, REGION = 24, ACCESS = 16, REGIONS = 16; // bytes, and how many regions there may be
const LEVELS = { error: 0, warning: 1, info: 2 };
const QUEUE_LIMIT = 4096; // commands that wait here before no more are read
const USAGE = 64, UNAVAILABLE = 72, BROKEN = 76; // exit codes; 0: the monitor has left
const { EINVAL, EIO, EBUSY, ECANCELED, EOPNOTSUPP } = os.constants.errno;

/** The command for which a method of the device runs, and whatever it awaits. */
const underWay = new AsyncLocalStorage();

/** Whether a reset has ended that command: it is answered, and what is left of it reaches neither memory nor lines. */
function isOver() { return underWay.getStore()?.over === true; }

/** The monitor has sent what the protocol does not have: the connection ends. */
class ProtocolError extends Error {}

/** What a device throws to answer with an error, a number of os.constants.errno: the guest reads ones, or its write is lost. */
class Refused extends Error {
    constructor(number = EIO) {
        super(`error ${number}`);
        this.number = number;
    }
}

/** Frames out of a stream of bytes that may come in any pieces. */
class Decoder {
    limit = HEADER + HELLO + REGIONS * REGION; // bytes of a frame; another once VERSION has come
    #pieces = [];
    #size = 0;

    feed(data) {
        this.#pieces.push(data);
        this.#size += data.length;
    }

    get empty() { return this.#size === 0; }

    #take(count, keep) {
        if (this.#pieces[0].length < count) this.#pieces = [Buffer.concat(this.#pieces)];
        const taken = this.#pieces[0].subarray(0, count);
        if (keep) return taken;
        this.#size -= count;
        this.#pieces[0] = this.#pieces[0].subarray(count);
        if (this.#pieces[0].length === 0) this.#pieces.shift();
        return taken;
    }

    /** The next whole frame, or null. Throws ProtocolError. */
    next() {
        if (this.#size < HEADER) return null;
        const header = this.#take(HEADER, true);
        const size = header.readUInt32LE(4), flags = header.readUInt32LE(8);
        const reply = (flags & 15) === REPLY, failed = (flags & ERROR) !== 0;
        if (size < HEADER || size > this.limit) throw new ProtocolError(`a frame of ${size} bytes: it may have ${HEADER} to ${this.limit}`);
        if (flags > 0x3f || (flags & 15) > REPLY || (failed && (!reply || size !== HEADER))) {
            throw new ProtocolError(`a frame of ${size} bytes with the flags 0x${flags.toString(16)}`);
        }
        if (this.#size < size) return null;
        const frame = this.#take(size, false);
        return {
            number: frame.readUInt16LE(0), command: frame.readUInt16LE(2), reply, noReply: (flags & NO_REPLY) !== 0,
            error: failed ? frame.readUInt32LE(12) : 0, payload: frame.subarray(HEADER),
        };
    }
}

/** An interrupt line. One that the machine does not have takes every level and does nothing. */
class Irq {
    level = 0;
    #link;
    #line;
    constructor(link, line) {
        this.#link = link;
        this.#line = line;
    }

    /** Level 1 asks for the interrupt, 0 takes that back. In effect before any answer that is given later. */
    set(level) {
        if (isOver()) return;
        this.level = level ? 1 : 0;
        const payload = Buffer.alloc(8);
        payload.writeUInt32LE(this.#line);
        payload.writeUInt32LE(this.level, 4);
        if (this.#line < this.#link.irqs) this.#link.send(SET_IRQ, payload);
    }
}

/** The guest's memory, by guest-physical addresses (numbers or BigInts). Rejects with Refused: EACCES where none was given, EFAULT
 *  where there is no RAM. */
class Memory {
    #link;
    constructor(link) { this.#link = link; }

    async read(address, size) {
        const pieces = [];
        for (const [place, from, to] of this.#pieces(address, size)) {
            const payload = await this.#link.ask(DMA_READ, place);
            if (payload.length !== 16 + to - from || !payload.subarray(0, 16).equals(place)) {
                throw new ProtocolError('a wrong answer to DMA_READ');
            }
            pieces.push(payload.subarray(16));
        }
        return Buffer.concat(pieces);
    }

    async write(address, data) {
        for (const [place, from, to] of this.#pieces(address, data.length)) {
            const payload = await this.#link.ask(DMA_WRITE, Buffer.concat([place, data.subarray(from, to)]));
            if (!payload.equals(place)) throw new ProtocolError('a wrong answer to DMA_WRITE');
        }
    }

    *#pieces(address, size) {
        for (let from = 0; from < size; from += this.#link.maxData) {
            const to = Math.min(size, from + this.#link.maxData), place = Buffer.alloc(16);
            place.writeBigUInt64LE(BigInt(address) + BigInt(from));
            place.writeBigUInt64LE(BigInt(to - from), 8);
            yield [place, from, to];
        }
    }
}

/** What an author derives from. Each connection gets an object of its own. */
class Device {
    name = this.constructor.name.toLowerCase(); // what the monitor calls it: 64 bytes at most
    maxRequests = 1; // accesses that may be under way at once (256 at most): for devices whose methods give promises
    posted = false; // whether the guest may go on before write() has seen what it wrote
    regions = []; // set when the monitor has come, like irqs, irq and memory: {address, size (BigInts), kind: 'ports' or 'memory'}

    /** The monitor has come. */
    connected() {}

    /** It has left. */
    disconnected() {}

    /** The guest reads width bytes (1, 2, 4, 8): a number or a BigInt, of which the lowest bytes count. */
    read(_offset, _width, _region) { return -1; }

    /** The guest writes width bytes; value is a BigInt if they are 8. */
    write(_offset, _width, _value, _region) {}

    /** The machine has been reset: accesses that were under way are answered already, the lines are low. */
    reset() {}

    /** REP INS: count elements of width bytes, as a Buffer. */
    async readString(offset, width, count, region) {
        const data = Buffer.alloc(count * width);
        for (let at = 0; at < data.length && !isOver(); at += width) put(data, at, width, await this.read(offset, width, region));
        return data;
    }

    /** REP OUTS: data are elements of width bytes. */
    async writeString(offset, width, data, region) {
        for (let at = 0; at < data.length && !isOver(); at += width) await this.write(offset, width, get(data, at, width), region);
    }

    /** A line in the monitor's log: error, warning or info; 1024 bytes at most. */
    log(text, level = 'info') {
        const payload = Buffer.alloc(4), whole = Buffer.from(text);
        let length = Math.min(whole.length, 1024);
        while ((whole[length] & 0xc0) === 0x80) length--; // no half a letter
        payload.writeUInt32LE(LEVELS[level]);
        this.link.send(LOG, Buffer.concat([payload, whole.subarray(0, length)]));
    }

    /** Ends the connection. */
    drop() { this.link.close(); }
}

function get(data, at, width) { return width === 8 ? data.readBigUInt64LE(at) : data.readUIntLE(at, width); }

function put(data, at, width, value) {
    if (width === 8) data.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), at);
    else data.writeUIntLE(Number(BigInt.asUintN(8 * width, BigInt(Math.trunc(Number(value))))), at, width);
}

/** One connection: frames in, frames out, the device between them. */
class Link {
    irqs = 0;
    maxData = 16;
    #decoder = new Decoder();
    #commands = [];
    #asked = new Map();
    #open = new Set(); // commands that have no answer yet
    #number = 0;
    #greeted = false;
    #working = false;
    #error = null;

    /** Two streams, which may be one. */
    constructor(device, input, output) {
        Object.assign(this, { device, input, output });
        Object.defineProperty(device, 'link', { value: this, configurable: true });
    }

    /** Until the monitor leaves. Rejects with ProtocolError. */
    async serve() {
        this.output.on('error', () => this.close()); // the monitor has left
        this.input.on('data', (data) => this.#guard(() => this.#came(data)));
        await new Promise((resolve) => {
            this.input.on('end', () => {
                if (!this.#decoder.empty && !this.#error) this.#error = new ProtocolError('the monitor has left in the middle of a frame');
                this.close();
            });
            this.input.on('error', () => this.close());
            this.input.on('close', resolve);
        });
        this.output.destroy();
        if (this.#greeted) this.device.disconnected();
        if (this.#error) throw this.#error;
    }

    close(error = null) {
        this.#error ??= error;
        this.output.end(() => this.input.destroy()); // what has been said is still sent
        this.input.removeAllListeners('data');
        this.input.resume();
    }

    #guard(work) {
        try {
            work();
        } catch (error) {
            if (!(error instanceof ProtocolError)) throw error;
            this.close(error);
        }
    }

    send(command, payload = Buffer.alloc(0), flags = NO_REPLY, number = this.#next(), error = 0) {
        const header = Buffer.alloc(HEADER);
        header.writeUInt16LE(number);
        header.writeUInt16LE(command, 2);
        header.writeUInt32LE(HEADER + payload.length, 4);
        header.writeUInt32LE(flags, 8);
        header.writeUInt32LE(error, 12);
        if (this.output.writable) this.output.write(Buffer.concat([header, payload]));
    }

    #next() {
        do this.#number = (this.#number + 1) & 0xffff; while (this.#asked.has(this.#number));
        return this.#number;
    }

    /** A command of the device: a promise of its answer's payload. */
    async ask(command, payload) {
        let answer;
        if (!isOver()) {
            const number = this.#next(), coming = new Promise((resolve) => this.#asked.set(number, { command, resolve }));
            this.send(command, payload, 0, number);
            this.#readOn();
            answer = await coming;
        }
        if (isOver()) await new Promise(() => {}); // it goes no further
        if (answer.error) throw new Refused(answer.error);
        return answer.payload;
    }

    // More commands than a device takes stay in the socket, unless the device waits for an answer behind them.
    #readOn() {
        if (this.#commands.length < QUEUE_LIMIT || this.#asked.size > 0) this.input.resume();
        else this.input.pause();
    }

    #came(data) {
        this.#decoder.feed(data);
        for (let frame; !this.output.writableEnded && (frame = this.#decoder.next());) this.#take(frame);
        this.#readOn();
        this.#work();
    }

    #take(frame) {
        if (frame.reply) {
            const asked = this.#asked.get(frame.number);
            if (asked?.command !== frame.command) throw new ProtocolError(`an answer to command ${frame.command} that was not asked for`);
            this.#asked.delete(frame.number);
            asked.resolve(frame);
        } else if (!this.#greeted) {
            this.#greet(frame);
        } else {
            if (frame.command === DEVICE_RESET) {
                for (const open of this.#open) {
                    open.over = true;
                    this.#answer(open, undefined, ECANCELED);
                    open.abandon?.();
                }
                this.#commands = this.#commands.filter((command) => command.noReply);
            } else if (!frame.noReply && this.#open.size >= this.device.maxRequests) {
                this.send(frame.command, undefined, REPLY | ERROR, frame.number, EBUSY);
                return;
            }
            if (!frame.noReply) this.#open.add(frame);
            this.#commands.push(frame);
        }
    }

    #greet(frame) {
        const { device } = this, { payload } = frame;
        if (frame.command !== VERSION || frame.reply || payload.length < HELLO) {
            throw new ProtocolError(`the first frame is not a VERSION but command ${frame.command}`);
        }
        const major = payload.readUInt16LE(0), offered = payload.readUInt32LE(4), maxData = payload.readUInt32LE(8);
        const regions = payload.readUInt16LE(14);
        if (major !== 1) throw new ProtocolError(`the monitor speaks version ${major}, this device 1`);
        if (payload.length !== HELLO + regions * REGION || maxData < 16) {
            throw new ProtocolError('VERSION has a wrong size, or offers less than 16 bytes of data');
        }
        this.irqs = payload.readUInt16LE(12);
        this.maxData = Math.min(maxData, 1 << 20);
        this.#decoder.limit = HEADER + ACCESS + this.maxData;
        for (let at = HELLO; at < payload.length; at += REGION) {
            device.regions.push({
                address: payload.readBigUInt64LE(at),
                size: payload.readBigUInt64LE(at + 8),
                kind: payload.readUInt32LE(at + 16) ? 'memory' : 'ports',
            });
        }
        device.irqs = Array.from({ length: this.irqs }, (_, line) => new Irq(this, line));
        device.irq = device.irqs[0] ?? new Irq(this, 0);
        device.memory = new Memory(this);
        const answer = Buffer.alloc(HELLO);
        answer.writeUInt16LE(1);
        answer.writeUInt32LE((offered & (MEMORY_READ | MEMORY_WRITE | (device.posted ? POSTED : 0))) >>> 0, 4);
        answer.writeUInt32LE(this.maxData, 8);
        answer.writeUInt16LE(device.maxRequests, 12);
        this.#greeted = true;
        this.#open.add(frame);
        this.#answer(frame, Buffer.concat([answer, Buffer.from(device.name)]));
        device.connected();
    }

    #answer(frame, payload, error = 0) {
        if (this.#open.delete(frame)) this.send(frame.command, payload, REPLY | (error ? ERROR : 0), frame.number, error);
    }

    // The commands, in their order: one that nobody waits for, and a reset, is done before the next one begins.
    async #work() {
        if (this.#working) return;
        this.#working = true;
        for (let frame; (frame = this.#commands.shift()); this.#readOn()) {
            const done = this.#perform(frame), abandoned = new Promise((resolve) => { frame.abandon = resolve; });
            if (frame.noReply || frame.command === DEVICE_RESET) await done;
            else if (this.device.maxRequests === 1) await Promise.race([done, abandoned]);
        }
        this.#working = false;
    }

    async #perform(frame) {
        try {
            this.#answer(frame, await underWay.run(frame, () => this.#access(frame)));
        } catch (error) {
            if (error instanceof ProtocolError) this.close(error);
            else if (!(error instanceof Refused)) console.error(error);
            this.#answer(frame, undefined, error.number ?? EIO);
        }
    }

    async #access({ command, payload }) {
        const { device } = this;
        if (command === DEVICE_RESET) {
            for (const line of device.irqs) line.level = 0;
            await device.reset();
            return undefined;
        }
        if (command !== REGION_READ && command !== REGION_WRITE) throw new Refused(command === VERSION ? EINVAL : EOPNOTSUPP);
        if (payload.length < ACCESS) throw new Refused(EINVAL);
        const what = payload.subarray(0, ACCESS), data = payload.subarray(ACCESS), reads = command === REGION_READ;
        const region = payload.readUInt16LE(8), width = payload[10], count = payload.readUInt32LE(12);
        const offset = Number(payload.readBigUInt64LE(0));
        if (![1, 2, 4, 8].includes(width) || payload[11] || count === 0 || count % width || count > this.maxData
            || data.length !== (reads ? 0 : count) || region >= device.regions.length
            || payload.readBigUInt64LE(0) + BigInt(width) > device.regions[region].size) throw new Refused(EINVAL);
        if (!reads) {
            if (count === width) await device.write(offset, width, get(data, 0, width), region);
            else await device.writeString(offset, width, data, region);
            return what;
        }
        if (count > width) return Buffer.concat([what, await device.readString(offset, width, count / width, region)]);
        const answer = Buffer.alloc(ACCESS + width);
        what.copy(answer);
        put(answer, ACCESS, width, await device.read(offset, width, region));
        return answer;
    }
}

/** What net.connect() and server.listen() take for unix:PATH or tcp:[HOST:]PORT. */
function place(text) {
    const found = /^(?:unix:(?<path>.+)|tcp:(?:\[?(?<host>[^\]]*)\]?:)?(?<port>\d+))$/.exec(text)?.groups;
    if (!found) throw new RangeError(`'${text}' is no address: unix:PATH or tcp:[HOST:]PORT, as it is or after listen:`);
    return found.path ? { path: found.path } : { host: found.host || 'localhost', port: Number(found.port), noDelay: true };
}

/** Standard input and output as the connection; what the program prints then goes to the standard error. */
function standardStreams() {
    const isOne = fs.fstatSync(0).isSocket() && fs.fstatSync(0).ino === fs.fstatSync(1).ino;
    Object.defineProperty(process, 'stdout', { value: process.stderr });
    const input = new net.Socket({ fd: 0, allowHalfOpen: true });
    return [input, isOne ? input : new net.Socket({ fd: 1, readable: false, writable: true })];
}

/** A socket to an address at which the monitor is within ten seconds. */
async function connect(address) {
    for (let attempt = 0; ; ++attempt) {
        const socket = net.connect({ ...place(address), allowHalfOpen: true });
        try {
            await once(socket, 'connect');
            return socket;
        } catch (error) {
            if (attempt === 100 || !['ENOENT', 'ECONNREFUSED'].includes(error.code)) throw error;
        }
        await sleep(100);
    }
}

/** Serves a device for as long as the monitor is there; with listen: one monitor after the other, without end. DeviceClass makes the
 *  device of a connection. */
async function serve(DeviceClass, address) {
    const program = process.argv[1];
    if (address === undefined) return new Link(new DeviceClass(), ...standardStreams()).serve();
    if (!address.startsWith('listen:')) {
        const socket = await connect(address);
        return new Link(new DeviceClass(), socket, socket).serve();
    }
    const where = place(address.slice('listen:'.length));
    if (where.path && fs.statSync(where.path, { throwIfNoEntry: false })?.isSocket()) fs.unlinkSync(where.path); // an earlier run's
    let turn = Promise.resolve();
    const server = net.createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
        turn = turn.then(async () => {
            const link = new Link(new DeviceClass(), socket, socket);
            socket.resume();
            await link.serve().catch((error) => console.error(`${program}: ${error.message}`));
        });
    });
    server.listen(where);
    await once(server, 'listening');
    console.error(`${program}: listens on ${address.slice('listen:'.length)}`);
    return new Promise(() => {});
}

/** Serves a device at the address on the command line, or on the standard streams if there is none (exec=); ends the program. */
async function run(DeviceClass) {
    const addresses = process.argv.slice(2);
    try {
        const input = fs.fstatSync(0);
        if (addresses.length > 1 || (addresses.length === 0 && !input.isSocket() && !input.isFIFO())) {
            throw new RangeError('asyncvm starts this program with exec=, or it takes one address: [listen:]unix:PATH|tcp:[HOST:]PORT');
        }
        await serve(DeviceClass, addresses[0]);
        process.exit(0);
    } catch (error) {
        const known = error instanceof RangeError || error instanceof ProtocolError || error.code;
        console.error(known ? `${process.argv[1]}: ${error.message}` : error);
        process.exit(error instanceof RangeError ? USAGE : error instanceof ProtocolError ? BROKEN : UNAVAILABLE);
    }
}

module.exports = { Decoder, Device, ProtocolError, Refused, run, serve };
