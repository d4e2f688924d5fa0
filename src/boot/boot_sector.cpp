#include "boot/bios_stub.hpp"
#include "boot/formats.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace asyncvm::boot {

namespace {

constexpr std::uint64_t sector_address = 0x7c00;
constexpr std::uint64_t sector_bytes = 512;
constexpr std::uint64_t data_area = 0x400;
constexpr std::uint64_t data_area_size = 0x100;

/// What BIOS programs read without asking: equipment (a floppy drive, a display of 80 columns), conventional memory in KiB,
/// and the video mode.
std::vector<std::byte> bios_data(std::uint64_t conventional) {
    std::vector<std::byte> bytes(data_area_size);
    const auto set = [&](std::size_t offset, std::uint16_t value) {
        std::memcpy(bytes.data() + offset, &value, sizeof value);
    };
    set(0x10, 0x0021);
    set(0x13, static_cast<std::uint16_t>(conventional >> 10));
    bytes[0x49] = std::byte{3};
    set(0x4a, 80);
    bytes[0x84] = std::byte{24};
    return bytes;
}

/// RAM from 0 on, below 640 KiB.
std::uint64_t conventional_memory(std::span<const MemoryRange> map) {
    for (const MemoryRange& range : map) {
        if (range.kind == MemoryKind::ram && range.address == 0) return std::min<std::uint64_t>(range.size, 640 << 10);
    }
    return 0;
}

bool covers_data_area(const Piece& piece) {
    return piece.address < data_area + data_area_size && data_area < piece.address + piece.size;
}

}  // namespace

Plan plan_boot_sector(const Request& request, const Surroundings& around) {
    const Image& image = *request.kernel;
    if (conventional_memory(around.map) < 64 << 10 ||
        std::ranges::none_of(around.map, [](const MemoryRange& range) { return range.address + range.size >= 1 << 20; })) {
        throw Error(ErrorKind::guest_image,
                    fmt::format("{} is started as a boot sector, for which a guest needs 1 MiB of memory (raise --memory)",
                                image.name()));
    }
    Plan plan;
    plan.format = BootFormat::boot_sector;
    const Image& disk = request.disk ? *request.disk : image;
    const std::uint8_t drive = boot_drive(disk.size());
    plan.description = fmt::format("boot sector of a disk of {} bytes, drive {:#04x}", disk.size(), drive);
    plan.pieces = around.tables;
    // The rest of a short sector is what follows it on the disk: nothing.
    plan.pieces.push_back({.name = image.name(),
                           .address = sector_address,
                           .size = sector_bytes,
                           .image = request.kernel,
                           .file_size = std::min(image.size(), sector_bytes)});
    auto vectors = make_bios_vectors();
    plan.pieces.push_back(
        {.name = "the interrupt vectors", .address = 0, .size = vectors.size(), .bytes = std::move(vectors)});
    auto code = make_bios_code();
    plan.pieces.push_back({.name = "the BIOS", .address = bios_code, .size = code.size(), .bytes = std::move(code)});
    if (std::ranges::none_of(plan.pieces, covers_data_area)) {
        plan.pieces.push_back({.name = "the BIOS data area",
                               .address = data_area,
                               .size = data_area_size,
                               .bytes = bios_data(conventional_memory(around.map))});
    }
    const auto sector = image.view(0, sector_bytes);
    if (sector.size() < sector_bytes || sector[510] != std::byte{0x55} || sector[511] != std::byte{0xaa}) {
        plan.notes.push_back(
            fmt::format("{} does not end its first 512 bytes with 0x55 0xaa: a PC would not start it", image.name()));
    }
    plan.facts.push_back(fmt::format("signature: {}", plan.notes.empty() ? "0xaa55" : "none"));
    plan.facts.push_back(fmt::format("disk: {}", disk.name()));
    plan.facts.push_back("BIOS: INT 10h, 11h, 12h, 13h, 15h, 16h, 19h, 1ah");
    plan.entry = {.mode = Mode::real16, .rip = sector_address, .rdx = drive, .rsp = sector_address};
    return plan;
}

}  // namespace asyncvm::boot
