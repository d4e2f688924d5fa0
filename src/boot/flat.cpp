#include "boot/apply.hpp"
#include "boot/foreign.hpp"
#include "boot/formats.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/guest_memory.hpp>
#include <asyncvm/loader.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace asyncvm {

namespace boot {

namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::guest_image, message); }

/// Bytes of RAM from `address` to the end of its region; 0 where there is none.
std::uint64_t ram_from(std::span<const MemoryRange> map, std::uint64_t address) {
    for (const MemoryRange& range : map) {
        if (range.kind == MemoryKind::ram && address >= range.address && address - range.address < range.size) {
            return range.size - (address - range.address);
        }
    }
    return 0;
}

std::string outside(std::span<const MemoryRange> map, const char* what, std::uint64_t address) {
    if (address >= GuestMemory::low_limit && address < GuestMemory::high_base) {
        return fmt::format(
            "{} {:#x} is between 3 GiB and 4 GiB, where no machine has RAM, whatever its size (choose a lower {})", what,
            address, what);
    }
    std::uint64_t size = 0;
    for (const MemoryRange& range : map) size += range.kind == MemoryKind::ram ? range.size : 0;
    return fmt::format(
        "{} {:#x} is outside of the guest's memory, which has {} bytes (raise --memory, or choose a lower {})", what,
        address, size, what);
}

std::uint64_t checked_entry(const Request& guest, std::span<const MemoryRange> map) {
    const std::uint64_t entry = guest.entry.value_or(guest.load);
    if (guest.mode == Mode::real16 && entry > 0xfffff) {
        refuse(fmt::format(
            "entry {:#x} is out of reach in 16-bit mode: it must be <= 0xfffff (lower {}, or use --mode 32 or 64)", entry,
            guest.entry ? "--entry" : "--load"));
    }
    if (entry >= GuestMemory::high_base) {
        refuse(fmt::format("entry {:#x} is out of reach: it must be below 4 GiB (lower {})", entry,
                           guest.entry ? "--entry" : "--load, or set --entry"));
    }
    if (ram_from(map, entry) == 0) refuse(outside(map, "--entry", entry));
    return entry;
}

}  // namespace

Plan plan_flat(const Request& request, const Surroundings& surroundings) {
    const auto& map = surroundings.map;
    const std::uint64_t size = request.kernel->size();
    const std::string& name = request.kernel->name();
    const std::uint64_t room = ram_from(map, request.load);
    if (room == 0) refuse(outside(map, "--load", request.load));
    Plan plan;
    plan.entry.mode = request.mode;
    plan.entry.rip = checked_entry(request, map);
    if (size > room) {
        // RAM below 4 GiB ends at 3 GiB, however much there is.
        const bool all = request.load + room == GuestMemory::low_limit;
        refuse(fmt::format("{} has {} bytes, but only {} bytes of memory follow {:#x} ({})", name, size, room, request.load,
                           all ? "lower --load" : "raise --memory or lower --load"));
    }
    plan.description = fmt::format("flat binary of {} bytes", size);
    plan.pieces.push_back({.name = name, .address = request.load, .size = size, .image = request.kernel, .file_size = size});
    if (foreign_format(request.kernel->view(0, 32 << 10)) != Foreign::none) {
        plan.notes.push_back(
            fmt::format("{} has the header of another format, which is not used: it is run as a flat binary", name));
    }
    return plan;
}

}  // namespace boot

LoadedGuest load_flat(GuestMemory& memory, const FlatGuest& guest) {
    boot::Request request;
    request.load = guest.load;
    request.entry = guest.entry;
    request.mode = guest.mode;
    request.kernel = guest.bytes ? boot::borrowed_image(boot::image_name(guest.path), *guest.bytes)
                                 : boot::open_image(guest.path, memory.ram_size());
    if (request.kernel->size() == 0)
        boot::refuse(fmt::format("{} is empty: there is no guest in it", request.kernel->name()));
    boot::Surroundings surroundings;
    for (const auto& region : memory.regions()) {
        if (region.address == GuestMemory::boot_tables_base) continue;
        surroundings.map.push_back({region.address, region.bytes.size(), MemoryKind::ram});
    }
    const boot::Plan plan = boot::plan_flat(request, surroundings);
    LoadedGuest loaded;
    loaded.size = request.kernel->size();
    if (!plan.notes.empty()) loaded.note = plan.notes.front();
    loaded.registers = boot::apply(plan, memory);
    return loaded;
}

}  // namespace asyncvm
