/// A BIOS for boot sectors: INT 10h, 13h, 16h and others, on a byte stream and a disk image. docs/devices/bios.md
#pragma once

#include <asyncvm/chardev.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/devices.hpp>
#include <asyncvm/memory_map.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace asyncvm {

namespace boot {
class Image;
}  // namespace boot

struct BiosConfig {
    std::shared_ptr<Chardev> console;           ///< not null: the screen, and whoever types; may be a serial port's, too
    std::shared_ptr<const boot::Image> disk{};  ///< Boot::disk(); null: no drive
    std::vector<MemoryRange> map{};             ///< what INT 15h, AX=E820h tells
    PlatformRequest reset{};                    ///< INT 19h; called on the vCPU's thread; empty: nothing happens
};

/// The port at which the code that Boot places for boot sectors asks.
inline constexpr std::uint16_t bios_port = 0x4f0;

/// The device at bios_port, one address. For the machine of a Boot with BootFormat::boot_sector.
[[nodiscard]] std::shared_ptr<Device> make_bios(BiosConfig config);

}  // namespace asyncvm
