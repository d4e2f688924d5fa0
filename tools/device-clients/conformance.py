#!/usr/bin/env python3
"""The conformance device (docs/remote-devices.md): one register for each thing that a device can do. `asyncvm-device check` tests it."""
import asyncio
import collections

import asyncvm_device


class Conformance(asyncvm_device.Device):
    max_requests = 4
    posted = True

    def __init__(self):
        self.resets = 0
        self.clear()

    def clear(self):
        self.scratch = bytearray((0x12345678).to_bytes(4, "little"))
        self.fifo = collections.deque()
        self.delay = self.address = self.refused = 0

    def reset(self):
        self.resets += 1
        self.clear()

    def read(self, offset, width):
        if offset < 4:
            return int.from_bytes(self.scratch[offset:offset + width], "little")
        if offset == 4:
            return self.fifo.popleft() if self.fifo else 0xff
        if offset == 8:
            return self.address
        return {5: len(self.fifo), 6: self.irq.level, 7: self.delay, 12: self.refused, 14: self.resets}.get(offset, -1)

    async def write(self, offset, width, value):
        if offset < 4:
            self.scratch[offset:offset + width] = value.to_bytes(width, "little")[:4 - offset]
        elif offset == 4 and len(self.fifo) < 64:
            self.fifo.append(value & 0xff)
        elif offset == 6:
            self.irq.set(value & 1)
        elif offset == 7:
            self.delay = value
            await asyncio.sleep(value / 1000)
        elif offset == 8:
            self.address = value
        elif offset == 12:
            self.refused = await self.increment(value)
        elif offset == 13:
            self.log("conformance")
        elif offset == 15:
            self.drop()

    async def increment(self, count):
        """Adds 1 to each byte at the address: 0 if that went well, 1 if the monitor has refused it."""
        try:
            data = await self.memory.read(self.address, count)
            await self.memory.write(self.address, bytes(byte + 1 & 0xff for byte in data))
        except OSError:
            return 1
        return 0


if __name__ == "__main__":
    asyncvm_device.run(Conformance)
