#!/usr/bin/env python3
"""What api_test.py expects of a device, beyond the conformance device: two regions, errors, strings of its own, background work."""
import asyncio
import errno
import os
import sys

sys.path.insert(0, os.environ["DEVICE_CLIENTS"])
import asyncvm_device  # noqa: E402

class Api(asyncvm_device.Device):
    name = "näme"
    kept = 0

    async def run(self):
        await asyncio.sleep(0.01)
        self.irqs[1].set(1)
        self.irq.set(0)

    async def read_at(self, region, offset, width):
        print("this is no frame", flush=True)
        if region == 1:
            return 0x100 * region + offset if offset else self.kept
        if offset == 0:
            raise ZeroDivisionError("the device's own fault")
        if offset == 1:
            raise asyncvm_device.Refused(errno.ENXIO)
        if offset == 3:
            self.log("waits")
            await asyncio.Event().wait()
        return -2

    def write_at(self, region, offset, width, value):
        self.kept = value
        self.log("x" + "ä" * 1000 if value == 1 else "short", "error" if value == 1 else "warning")

    async def read_string(self, region, offset, width, count):
        return bytes(range(width * count))

    async def write_string(self, region, offset, width, data):
        self.kept = sum(data)


asyncvm_device.run(Api)
