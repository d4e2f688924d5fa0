#include "report/stuck.hpp"

#include "report/absent_memory.hpp"
#include "report/misfit.hpp"
#include "x86/bits.hpp"

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <string_view>

namespace asyncvm {
namespace {

/// Places of a PC's devices that guests poll.
struct PcDevice {
    Space space;
    std::uint64_t first;
    std::uint64_t last;
    std::string_view name;
};

constexpr std::array<PcDevice, 17> pc_devices{{
    {Space::port, 0x20, 0x21, "interrupt controller (PIC)"},
    {Space::port, 0xa0, 0xa1, "interrupt controller (PIC)"},
    {Space::port, 0x40, 0x43, "timer (PIT)"},
    {Space::port, 0x61, 0x61, "port 0x61 with the timer's output"},
    {Space::port, 0x60, 0x60, "keyboard controller"},
    {Space::port, 0x64, 0x64, "keyboard controller"},
    {Space::port, 0x70, 0x71, "clock (CMOS)"},
    {Space::port, 0x92, 0x92, "A20 port (A20 is always on)"},
    {Space::port, 0x1f0, 0x1f7, "disk (IDE)"},
    {Space::port, 0x3f0, 0x3f7, "floppy disk"},
    {Space::port, 0x3c0, 0x3df, "VGA"},
    {Space::port, 0x510, 0x511, "fw_cfg"},
    {Space::port, 0x608, 0x60b, "ACPI timer"},
    {Space::port, 0xcf8, 0xcff, "PCI bus"},
    {Space::memory, 0xfec0'0000, 0xfec0'0fff, "I/O APIC"},
    {Space::memory, 0xfed0'0000, 0xfed0'03ff, "timer (HPET)"},
    {Space::memory, 0xfee0'0000, 0xfee0'0fff, "local APIC"},
}};

std::string_view pc_device(Space space, std::uint64_t address) noexcept {
    for (const auto& device : pc_devices) {
        if (device.space == space && address >= device.first && address <= device.last) return device.name;
    }
    return {};
}

/// What is read again and again, although no device has it.
void add_polled(std::vector<std::string>& hints, const CrashContext& guest) {
    constexpr std::uint64_t often = 100;
    const ExitHistory& history = guest.history;
    for (std::size_t i = history.size(); i-- > 0;) {
        const auto record = history[i];
        const bool port = record.kind == ExitHistory::Kind::port;
        if (!port && record.kind != ExitHistory::Kind::mmio) continue;
        if (record.direction != Direction::read || record.times < often || !guest.device_name) continue;
        const auto space = port ? Space::port : Space::memory;
        if (!guest.device_name(space, record.address).empty()) continue;
        const auto name = pc_device(space, record.address);
        hints.push_back(
            fmt::format("it reads {} {:#x} again and again: {}, which this machine does not have; what is not there "
                        "reads as ones",
                        port ? "port" : "address", record.address,
                        name.empty() ? std::string("a device") : fmt::format("the {} of a PC", name)));
        return;
    }
}

/// Real-mode code that an INT has led nowhere.
void add_bios(std::vector<std::string>& hints, const CrashContext& guest, const CodeContext& context) {
    if (guest.started_with == nullptr || (context.registers.cr0 & cr0_pe) != 0) return;
    std::array<std::byte, 4> before{};
    const bool zeros =
        context.code.size() >= before.size() &&
        std::ranges::all_of(std::span(context.code).first(before.size()), [](auto byte) { return byte == std::byte{0}; });
    if (!zeros || context.registers.cs.base != 0) return;
    hints.emplace_back(
        "there is no BIOS here: INT goes through an empty vector to 0000:0000, and the processor executes whatever lies "
        "there (--format boot has a small BIOS)");
}

void add_halt(std::vector<std::string>& hints, const CrashContext& guest, const CodeContext& context) {
    std::array<std::byte, 1> before{};
    if (context.linear == 0 || read_linear(guest.memory, context.registers, context.linear - 1, before) != 1) return;
    if (before[0] != std::byte{0xf4}) return;
    constexpr std::uint64_t interrupts_on = 1 << 9;
    if ((context.registers.rflags & interrupts_on) != 0) {
        hints.emplace_back("it may wait in HLT for an interrupt: none comes that the guest has not asked a device for");
    } else {
        hints.emplace_back("it may wait in HLT with interrupts off: for ever");
    }
}

}  // namespace

std::vector<std::string> hints_about_running(const CrashContext& guest, const CodeContext& context) {
    std::vector<std::string> hints;
    if (auto misfit = about_misfit(guest, context); !misfit.empty()) hints.push_back(std::move(misfit));
    if (auto absent = about_absent_memory(guest); !absent.empty()) hints.push_back(std::move(absent));
    add_bios(hints, guest, context);
    add_polled(hints, guest);
    add_halt(hints, guest, context);
    return hints;
}

}  // namespace asyncvm
