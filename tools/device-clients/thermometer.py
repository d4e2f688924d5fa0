#!/usr/bin/env python3
"""A thermometer with a heater: asyncvm --device remote,port=0x300-0x302,exec=./thermometer.py GUEST

offset 0, 16 bits, read: the temperature in tenths of a degree. Each measurement takes 10 ms, and the vCPU that made it waits.
offset 2, 8 bits, write: 1 switches the heater on, 0 off."""
import asyncio

import asyncvm_device


class Thermometer(asyncvm_device.Device):
    tenths, heating = 215, False

    async def read(self, offset, width):
        await asyncio.sleep(0.01)
        self.tenths += 5 if self.heating else 0
        return self.tenths

    def write(self, offset, width, value):
        self.heating = offset == 2 and value == 1
        self.log(f"the heater is {'on' if self.heating else 'off'}")

    def reset(self):
        self.heating = False


asyncvm_device.run(Thermometer)
