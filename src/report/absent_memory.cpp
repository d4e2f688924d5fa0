#include "report/absent_memory.hpp"

#include <asyncvm/guest_memory.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace asyncvm {

namespace {

/// Where the RAM that begins at 0 ends.
std::uint64_t end_of_ram(const GuestMemory& memory) {
    std::uint64_t end = 0;
    for (const auto& region : memory.regions()) {
        if (region.address == end) end += region.bytes.size();
    }
    return end;
}

}  // namespace

std::string about_absent_memory(const CrashContext& guest) {
    constexpr std::uint64_t mebibyte = 1 << 20;
    constexpr std::uint64_t most_ram = GuestMemory::low_limit;
    const auto ram = end_of_ram(guest.memory);
    if (ram >= most_ram || !guest.device_name) return {};
    std::size_t beyond = 0;
    std::uint64_t highest = 0;
    const ExitHistory& history = guest.history;
    for (std::size_t i = 0; i < history.size(); ++i) {
        const auto record = history[i];
        if (record.kind != ExitHistory::Kind::mmio || record.address < ram || record.address >= most_ram) continue;
        if (!guest.device_name(Space::memory, record.address).empty()) continue;
        ++beyond;
        highest = std::max(highest, record.address);
    }
    if (beyond < ExitHistory::capacity / 2 || beyond * 2 <= history.size()) return {};
    return fmt::format(
        "it uses memory at {:#x}, but this machine's ends at {:#x}: does it need more than {} MiB (--memory)?", highest, ram,
        ram / mebibyte);
}

}  // namespace asyncvm
