#include "monitor/memory_map_text.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <string_view>

namespace asyncvm::monitor {

std::string memory_map_text(const GuestMemory& memory, const std::vector<AttachedRange>& devices,
                            const std::optional<InterruptState>& interrupts) {
    std::multimap<std::uint64_t, std::string> lines;
    const auto add = [&lines](std::uint64_t first, std::uint64_t size, std::string_view what) {
        lines.emplace(first, fmt::format("{:#018x}-{:#018x}  {}\n", first, first + (size - 1), what));
    };
    for (const auto& region : memory.regions()) add(region.address, region.bytes.size(), region.name);
    for (const auto& [range, device] : devices) add(range.first, range.size, device);
    if (interrupts) {
        constexpr std::uint64_t ioapic = 0xfec0'0000;
        constexpr std::uint64_t page = GuestMemory::page_size;
        add(ioapic, page, "IOAPIC (of the accelerator)");
        add(interrupts->local.base & ~(page - 1), page, "local APIC (of the accelerator)");
    }
    std::string text;
    for (const auto& [first, line] : lines) text += line;
    return text;
}

}  // namespace asyncvm::monitor
