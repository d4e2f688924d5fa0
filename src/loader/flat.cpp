
#include "loader/foreign.hpp"
#include "loader/image.hpp"
#include "loader/initial_state.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/loader.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace asyncvm {
namespace {

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::guest_image, message); }

/// The RAM from `address` to the end of its region; empty where there is none.
std::span<std::byte> ram_from(const GuestMemory& memory, std::uint64_t address) {
    for (const GuestMemory::Region& region : memory.regions()) {
        if (region.address == GuestMemory::boot_tables_base || address < region.address) continue;
        const std::uint64_t offset = address - region.address;
        if (offset < region.bytes.size()) return region.bytes.subspan(offset);
    }
    return {};
}

std::string outside(const GuestMemory& memory, const char* what, std::uint64_t address) {
    if (address >= GuestMemory::low_limit && address < GuestMemory::high_base) {
        return fmt::format(
            "{} {:#x} is between 3 GiB and 4 GiB, where no machine has RAM, whatever its size (choose a lower {})", what,
            address, what);
    }
    return fmt::format(
        "{} {:#x} is outside of the guest's memory, which has {} bytes (raise --memory, or choose a lower {})", what,
        address, memory.ram_size(), what);
}

std::uint64_t checked_entry(const GuestMemory& memory, const FlatGuest& guest) {
    const std::uint64_t entry = guest.entry.value_or(guest.load);
    if (guest.mode == Mode::real16 && entry > 0xfffff) {
        fail(fmt::format(
            "entry {:#x} is out of reach in 16-bit mode: it must be <= 0xfffff (lower {}, or use --mode 32 or 64)", entry,
            guest.entry ? "--entry" : "--load"));
    }
    if (entry >= GuestMemory::high_base) {
        fail(fmt::format("entry {:#x} is out of reach: it must be below 4 GiB (lower {})", entry,
                         guest.entry ? "--entry" : "--load, or set --entry"));
    }
    if (ram_from(memory, entry).empty()) fail(outside(memory, "--entry", entry));
    return entry;
}

/// Refuses what can't run as a flat binary; otherwise a note, or nothing.
std::string check_format(const FlatGuest& guest, std::span<const std::byte> image) {
    const std::string name = image_name(guest.path);
    switch (foreign_format(image)) {
        case Foreign::elf:
            // objcopy -O binary would keep what the linker puts far away from the code, or in front of it.
            fail(fmt::format(
                "{} is an ELF file, and its header is no code: link a flat binary, with the code that runs first "
                "in front (gcc -static -fno-pie -no-pie -nostdlib -ffreestanding "
                "-Wl,-Ttext={:#x},--build-id=none,--oformat=binary)",
                name, guest.load));
        case Foreign::bzimage:
            fail(fmt::format("{} is a Linux kernel (bzImage), which can't be run as a flat binary", name));
        case Foreign::multiboot:
            return fmt::format("{} has a Multiboot header, which is not used: it is run as a flat binary", name);
        case Foreign::none:
            break;
    }
    return {};
}

}  // namespace

LoadedGuest load_flat(GuestMemory& memory, const FlatGuest& guest) {
    const std::span<std::byte> room = ram_from(memory, guest.load);
    if (room.empty()) fail(outside(memory, "--load", guest.load));
    const std::uint64_t entry = checked_entry(memory, guest);

    LoadedGuest loaded;
    if (!guest.bytes) {
        loaded.size = read_image(guest.path, room, guest.load);
    } else {
        if (guest.bytes->empty()) fail(fmt::format("{} is empty: there is no guest in it", image_name(guest.path)));
        if (guest.bytes->size() > room.size()) throw_does_not_fit(guest.path, guest.bytes->size(), room.size(), guest.load);
        std::copy(guest.bytes->begin(), guest.bytes->end(), room.begin());
        loaded.size = guest.bytes->size();
    }
    loaded.note = check_format(guest, room.first(loaded.size));
    loaded.registers = initial_registers(memory, guest.mode, entry);
    return loaded;
}

}  // namespace asyncvm
