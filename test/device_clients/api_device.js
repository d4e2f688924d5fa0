// What api_test.py expects of a device, beyond the conformance device: two regions, errors, strings of its own, background work.
'use strict';
const { Device, Refused, run } = require(`${process.env.DEVICE_CLIENTS}/asyncvm_device.js`);

class Api extends Device {
    name = 'näme';
    kept = 0;

    connected() {
        this.timer = setTimeout(() => {
            this.irqs[1].set(1);
            this.irq.set(0);
        }, 10);
    }

    disconnected() { clearTimeout(this.timer); }

    read(offset, width, region) {
        console.log('this is no frame');
        process.stdout.write('nor is this');
        if (region === 1) return offset ? 0x100 * region + offset : this.kept;
        if (offset === 0) throw new Error("the device's own fault");
        if (offset === 1) throw new Refused(6);
        if (offset === 3) {
            this.log('waits');
            return new Promise(() => {});
        }
        return width === 8 ? -2n : -2;
    }

    write(offset, width, value) {
        this.kept = value;
        this.log(Number(value) === 1 ? 'x' + 'ä'.repeat(1000) : 'short', Number(value) === 1 ? 'error' : 'warning');
    }

    readString(offset, width, count) { return Buffer.from(Array.from({ length: width * count }, (_, n) => n)); }

    async writeString(offset, width, data) { this.kept = data.reduce((sum, byte) => sum + byte); }
}

run(Api);
