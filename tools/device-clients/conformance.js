#!/usr/bin/env node
// The conformance device (docs/remote-devices.md): one register for each thing that a device can do. `asyncvm-device check` tests it.
'use strict';
const { setTimeout: sleep } = require('node:timers/promises');
const { Device, run } = require('./asyncvm_device.js');

class Conformance extends Device {
    maxRequests = 4;
    posted = true;
    resets = 0;

    constructor() {
        super();
        this.clear();
    }

    clear() {
        this.scratch = Buffer.from([0x78, 0x56, 0x34, 0x12]);
        this.fifo = [];
        this.delay = 0;
        this.address = 0;
        this.refused = 0;
    }

    reset() {
        this.resets++;
        this.clear();
    }

    read(offset, width) {
        if (offset < 4) return this.scratch.readUIntLE(offset, Math.min(width, 4 - offset));
        switch (offset) {
        case 4: return this.fifo.shift() ?? 0xff;
        case 5: return this.fifo.length;
        case 6: return this.irq.level;
        case 7: return this.delay;
        case 8: return this.address;
        case 12: return this.refused;
        case 14: return this.resets;
        default: return -1;
        }
    }

    async write(offset, width, value) {
        if (offset < 4) {
            const whole = Buffer.alloc(8);
            whole.writeBigUInt64LE(BigInt(value));
            whole.copy(this.scratch, offset, 0, Math.min(width, 4 - offset));
        } else if (offset === 4) {
            if (this.fifo.length < 64) this.fifo.push(Number(value) & 0xff);
        } else if (offset === 6) {
            this.irq.set(Number(value) & 1);
        } else if (offset === 7) {
            this.delay = value;
            await sleep(Number(value));
        } else if (offset === 8) {
            this.address = value;
        } else if (offset === 12) {
            this.refused = await this.increment(Number(value));
        } else if (offset === 13) {
            this.log('conformance');
        } else if (offset === 15) {
            this.drop();
        }
    }

    /** Adds 1 to each byte at the address: 0 if that went well, 1 if the monitor has refused it. */
    async increment(count) {
        try {
            const data = await this.memory.read(this.address, count);
            await this.memory.write(this.address, data.map((byte) => byte + 1));
            return 0;
        } catch {
            return 1;
        }
    }
}

run(Conformance);
