#include "monitor/interrupt_text.hpp"

#include <fmt/format.h>

#include <string_view>

namespace asyncvm::monitor {

namespace {

// Entries of the IOAPIC's table and of a local vector table have these in common (82093AA, 3.2.4; Intel SDM vol. 3, 10.5.1).
constexpr std::uint64_t waits = 1u << 12;
constexpr std::uint64_t active_low = 1u << 13;
constexpr std::uint64_t level = 1u << 15;
constexpr std::uint64_t masked = 1u << 16;

std::string_view delivery(std::uint64_t entry) {
    constexpr std::string_view modes[] = {"fixed", "lowest priority", "SMI",   "reserved", "NMI",
                                          "INIT",  "reserved",        "ExtINT"};
    return modes[entry >> 8 & 7];
}

std::string flags(std::uint64_t entry) {
    std::string text;
    if ((entry & active_low) != 0) text += ", active low";
    if ((entry & waits) != 0) text += ", being delivered";
    if ((entry & masked) != 0) text += ", masked";
    return text;
}

std::string pic(const PicState& state, const char* name) {
    return fmt::format("{}: vectors from {:#04x}, requested {:08b}, in service {:08b}, masked {:08b}, level {:08b}\n", name,
                       state.vector, state.irr, state.isr, state.imr, state.elcr);
}

std::string ioapic(const IoapicState& state) {
    std::string text;
    unsigned untouched = 0;
    for (std::size_t i = 0; i < state.redirection.size(); ++i) {
        const std::uint64_t entry = state.redirection[i];
        const bool high = (state.irr >> i & 1) != 0;
        // Never programmed.
        if ((entry & 0xff) == 0 && (entry & masked) != 0 && !high) {
            ++untouched;
            continue;
        }
        text += fmt::format("  input {:2}: vector {:#04x}, {}, {} to {} {:#x}{}{}\n", i, entry & 0xff, delivery(entry),
                            (entry & level) != 0 ? "level" : "edge", (entry >> 11 & 1) != 0 ? "logical" : "APIC",
                            entry >> 56, flags(entry), high ? ", high" : "");
    }
    return fmt::format("IOAPIC: {} inputs are masked and have no vector\n{}", untouched, text);
}

/// The vectors whose bits are set in eight registers from `offset` on.
std::string vectors(const LocalApicState& state, std::size_t offset) {
    std::string text;
    for (unsigned vector = 0; vector < 256; ++vector) {
        const std::uint32_t bits = state.at(offset + 16 * (vector / 32));
        if ((bits >> vector % 32 & 1) != 0) text += fmt::format(" {:#04x}", vector);
    }
    return text.empty() ? " none" : text;
}

std::string local_entry(const LocalApicState& state, const char* name, std::size_t offset) {
    const std::uint32_t entry = state.at(offset);
    return fmt::format("  {:<11} vector {:#04x}, {}{}\n", name, entry & 0xff, delivery(entry), flags(entry));
}

std::string timer(const LocalApicState& state) {
    constexpr std::string_view modes[] = {"one shot", "periodic", "TSC deadline", "reserved"};
    const std::uint32_t entry = state.at(0x320);
    const std::uint32_t divider = state.at(0x3e0);
    const unsigned power = ((divider & 3) | (divider >> 1 & 4)) + 1;
    return fmt::format("  {:<11} vector {:#04x}, {}{}, {} of {} left, divided by {}\n", "timer", entry & 0xff,
                       modes[entry >> 17 & 3], flags(entry), state.at(0x390), state.at(0x380),
                       power == 8 ? 1u : 1u << power);
}

}  // namespace

std::string describe_local_apic(const LocalApicState& state, unsigned cpu) {
    constexpr std::uint64_t enabled = 1u << 11;
    constexpr std::uint64_t x2apic = 1u << 10;
    constexpr std::uint32_t software_enabled = 1u << 8;
    const bool wide = (state.base & x2apic) != 0;
    std::string text = fmt::format(
        "local APIC of vCPU {}: at {:#x}, {}, {}, ID {:#x}, task priority {:#x}\n", cpu, state.base & ~std::uint64_t{0xfff},
        (state.base & enabled) == 0 ? "off"
        : wide                      ? "x2APIC"
                                    : "xAPIC",
        (state.at(0xf0) & software_enabled) != 0 ? "enabled by software" : "not enabled by software",
        wide ? state.at(0x20) : state.at(0x20) >> 24, state.at(0x80) & 0xff);
    text += fmt::format("  requested  {}\n  in service {}\n", vectors(state, 0x200), vectors(state, 0x100));
    text += timer(state);
    constexpr struct {
        const char* name;
        std::size_t offset;
    } entries[] = {{"thermal", 0x330}, {"counters", 0x340}, {"LINT0", 0x350}, {"LINT1", 0x360}, {"error", 0x370}};
    for (const auto& entry : entries) text += local_entry(state, entry.name, entry.offset);
    return text;
}

std::string describe_interrupts(const InterruptState& state, unsigned cpu) {
    return pic(state.pics[0], "8259A, master") + pic(state.pics[1], "8259A, slave ") + ioapic(state.ioapic) +
           describe_local_apic(state.local, cpu);
}

}  // namespace asyncvm::monitor
