/// The devices that come with the library, one by one and as the set that a machine has by default.
///
/// Every function may be called on the device loop's thread, or before the loop runs. A device is attached to a bus of a
/// Machine before the guest runs; it is called on the vCPUs' threads then, and its background work runs on the device loop.
/// docs/devices/ has a page for each: registers, what a guest can do with it, what its saved state holds.
#pragma once

#include <asyncvm/bus.hpp>
#include <asyncvm/chardev.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/log.hpp>
#include <asyncvm/memory_map.hpp>
#include <asyncvm/outcome.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm {

/// A 16550A serial port: 8 addresses. What the guest transmits goes to `chardev`, what `chardev` has read is what the guest
/// receives; `chardev` is not null. `irq` is its interrupt line, 0 to 23; nothing: it has none. With a `stride` of 2, 4 or 8
/// bytes from one register to the next it has 8 times as many addresses; other numbers throw Error(usage).
/// docs/devices/uart16550.md
[[nodiscard]] std::shared_ptr<Device> make_uart16550(std::shared_ptr<Chardev> chardev, std::optional<unsigned> irq = {},
                                                     unsigned stride = 1);

/// A serial port of a PC.
struct ComPort {
    AddressRange ports;
    unsigned irq;
};

/// COM1 to COM4.
inline constexpr std::array<ComPort, 4> com_ports{{
    {{.first = 0x3f8, .size = 8}, 4},
    {{.first = 0x2f8, .size = 8}, 3},
    {{.first = 0x3e8, .size = 8}, 4},
    {{.first = 0x2e8, .size = 8}, 3},
}};

/// A debug console: each byte that is written goes to `output`, which is not null. docs/devices/debugcon.md
[[nodiscard]] std::shared_ptr<Device> make_debug_console(std::shared_ptr<Chardev> output);

/// How the exit code follows from the value that the guest wrote. A process has the low 8 bits of it.
enum class ExitCoding : std::uint8_t {
    qemu,   ///< (value << 1) | 1, as QEMU's isa-debug-exit: always odd, so never 0
    exact,  ///< the value itself
};

/// A write ends the run: `finish` is Machine::finish() and is called on the thread of the vCPU that writes.
/// docs/devices/exit.md
[[nodiscard]] std::shared_ptr<Device> make_exit_port(std::function<void(Outcome)> finish,
                                                     ExitCoding coding = ExitCoding::qemu);

/// A write is a line on `output`, which is not null; reads count. docs/devices/counter.md
[[nodiscard]] std::shared_ptr<Device> make_counter(std::shared_ptr<Chardev> output);

/// Remembers the last value written. `trace` gets a line for each that differs from the one before, on the vCPU's thread or
/// the device loop. docs/devices/post.md
[[nodiscard]] std::shared_ptr<Device> make_post_port(Log trace = {});

/// A write of n takes n microseconds of the machine's time. docs/devices/sleep.md
[[nodiscard]] std::shared_ptr<Device> make_sleep_port();

/// The registers of a text display's CRT controller, without a display. docs/devices/crtc.md
[[nodiscard]] std::shared_ptr<Device> make_crtc();

/// What the guest asks its platform for: a reset, or to be powered off. `why` is one line for a person: "the guest wrote
/// 0x06 to port 0xcf9 (reset control)". Called on the thread of the vCPU that asks, whose guest goes on until the machine
/// ends or is reset, and may ask again.
using PlatformRequest = std::function<void(std::string why)>;

/// The ports with which guests for other monitors power off, on machines without ACPI. docs/devices/power.md
[[nodiscard]] std::shared_ptr<Device> make_power_ports(PlatformRequest power_off, PlatformRequest reset);

/// The PCI configuration ports of a machine without PCI, 8 addresses from 0xcf8: no device answers. A write to the reset
/// control register, 0xcf9, whose bit 2 rises asks for a reset. With `mechanism` 0xcf8 reads back what was written, as
/// behind a host bridge: kernels then look for devices, which costs Linux 1,250 accesses. docs/devices/pci-config.md
[[nodiscard]] std::shared_ptr<Device> make_pci_config(PlatformRequest reset, bool mechanism = false);

/// System control port A, one address: A20, which is kept and has no effect, and a reset. docs/devices/port92.md
[[nodiscard]] std::shared_ptr<Device> make_port92(PlatformRequest reset);

/// System control port B, one address, for machines whose accelerator has no PIT (with one it has the port):
/// docs/devices/port61.md
[[nodiscard]] std::shared_ptr<Device> make_port61();

/// A keyboard controller with a keyboard without keystrokes: ports 0x60 and 0x64, one address each, attached as they are
/// numbered on a PC. Its interrupt line is 1. docs/devices/i8042.md
[[nodiscard]] std::shared_ptr<Device> make_i8042(PlatformRequest reset);

/// A real-time clock with CMOS RAM, 2 addresses: index and data. The time is the machine's time of day, in UTC; the RAM says
/// how much memory the machine has, and `cpus` processors, 1 to 256. Its interrupt line is 8. docs/devices/rtc.md
[[nodiscard]] std::shared_ptr<Device> make_rtc(unsigned cpus);

/// What firmware finds by its name.
struct FwCfgFile {
    std::string name;                 ///< 1 to 55 bytes: "etc/e820", "opt/org.example/key"
    std::vector<std::byte> contents;  ///< less than 4 GiB
};

/// "etc/e820", as SeaBIOS reads it.
[[nodiscard]] FwCfgFile fw_cfg_memory_map(std::span<const MemoryRange> map);

/// "etc/sercon-port": SeaBIOS then has its console, INT 10h and 16h, at the serial port whose first port this is.
[[nodiscard]] FwCfgFile fw_cfg_serial_console(std::uint16_t port);

/// QEMU's firmware configuration device, 2 addresses: selector and data. It says how much memory the machine has, and `cpus`
/// processors, 1 to 255; and it has `files`. Throws Error(usage) for a file whose name is empty, too long or there twice, or
/// whose contents are too large, and for more than 16,352 files. docs/devices/fw_cfg.md
[[nodiscard]] std::shared_ptr<Device> make_fw_cfg(unsigned cpus, std::vector<FwCfgFile> files = {});

/// QEMU's pvpanic, one address: a guest's kernel that has panicked ends the run with Outcome::crashed. `finish` is
/// Machine::finish() and is called on the thread of the vCPU that panics, and so is `log`, once, for a kernel that goes on
/// in a crash kernel. docs/devices/pvpanic.md
[[nodiscard]] std::shared_ptr<Device> make_pvpanic(std::function<void(Outcome)> finish, Log log = {});

/// The test device of kvm-unit-tests: ports 0xe0 to 0xe7 and 0x2000 to 0x2017, and memory at 0xff000000, attached as they
/// are numbered. docs/devices/testdev.md
[[nodiscard]] std::shared_ptr<Device> make_testdev();

/// The fixed registers of ACPI power management.
class AcpiPm : public Device {
public:
    /// The guest gets the event, and the interrupt if it has enabled it. Any thread.
    virtual void press_power_button() = 0;
};

/// PM1a event registers (4 addresses), PM1a control (2, and 2 reserved) and the PM timer (4, with 32 bits): 12 addresses.
/// `irq` is the SCI, 0 to 23, a level. `log` gets a line for the first sleep state that is not power-off, on the vCPU's
/// thread. docs/devices/acpi-pm.md
[[nodiscard]] std::shared_ptr<AcpiPm> make_acpi_pm(PlatformRequest power_off, unsigned irq = 9, Log log = {});

/// What the functions below attach devices to, and what those devices may ask of the program.
struct DeviceHost {
    Bus& ports;
    Bus& mmio;
    std::function<void(Outcome)> finish;  ///< Machine::finish(); called on a vCPU's thread
    /// Called by the functions below, for a text as open_chardev() takes it. Devices that ask for the same one may get the
    /// same object. What it throws comes out of those functions.
    std::function<std::shared_ptr<Chardev>(std::string_view spec)> open_chardev;
    Log log{};
    /// What of the machine lies in the guest-physical addresses from `first` to `last`, as words for a message ("the guest's
    /// RAM"; GuestMemory::occupant() has them): a device there would never be reached. Empty words: nothing. An empty
    /// function: not checked.
    std::function<std::string_view(std::uint64_t first, std::uint64_t last)> occupant{};
    /// Empty: `finish` gets an Outcome::powered_off or an Outcome::reset with that line as its summary.
    PlatformRequest power_off{};
    PlatformRequest reset{};
    /// What the guest's first instruction waits for, on the machine's device loop: the process of a device. What it throws
    /// ends the run before it has begun. Empty: such a device's accesses wait.
    std::function<void(std::function<awaitable<void>(asio::io_context& loop)>)> before_guest{};
};

/// Attaches a serial port as COM1 to COM4, for `index` 0 to 3, with its interrupt line. Throws Error(usage) for a fifth, and
/// if another device is there.
void add_serial_port(const DeviceHost& host, unsigned index, std::shared_ptr<Chardev> chardev);

/// Makes and attaches a device as `--device TEXT` does: "debugcon,chardev=file:out". Throws Error(usage) that says what
/// there is instead of a wrong name, key or value, or which device is at that address already.
void add_device(const DeviceHost& host, std::string_view text);

/// Attaches what a machine of the program has besides its serial ports: counter, debug console, exit port, POST port, power
/// and reset ports, sleep port, each at its documented ports. Those with output open "stdio". Throws as add_device().
void add_default_devices(const DeviceHost& host);

}  // namespace asyncvm
