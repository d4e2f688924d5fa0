#!/usr/bin/env node
// A FIFO that works on what goes through it: asyncvm --irqchip on --device remote,port=0x300-0x301,irq=5,exec=./fifo.js GUEST
//
// offset 0, write: a byte goes in. A few milliseconds later it is ready, as a capital letter. Read: the next byte that is ready.
// offset 1, read: how many bytes are ready. The interrupt line is high while there are any.
'use strict';
const { Device, run } = require('./asyncvm_device.js');

class Fifo extends Device {
    posted = true; // the guest need not wait until a byte is in
    ready = [];

    read(offset) {
        if (offset === 1) return this.ready.length;
        const byte = this.ready.shift();
        this.irq.set(this.ready.length > 0);
        return byte ?? 0;
    }

    write(offset, width, value) {
        setTimeout(() => {
            this.ready.push(...Buffer.from(String.fromCharCode(value).toUpperCase(), 'latin1'));
            this.irq.set(1);
        }, 5);
    }

    reset() {
        this.ready = [];
    }
}

run(Fifo);
