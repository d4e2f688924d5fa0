#include "bios/disk.hpp"

#include "bios/frame.hpp"

#include <asyncvm/error.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace asyncvm::bios {

namespace {

constexpr std::uint64_t sector_bytes = 512;

// Status codes.
constexpr unsigned ok = 0x00;
constexpr unsigned bad_command = 0x01;
constexpr unsigned write_protected = 0x03;
constexpr unsigned sector_not_found = 0x04;
constexpr unsigned boundary = 0x09;
constexpr unsigned controller_failed = 0x20;

Disk::Geometry geometry_of(std::uint64_t size) {
    struct Floppy {
        std::uint64_t kib;
        Disk::Geometry geometry;
    };
    constexpr std::array floppies{
        Floppy{160, {40, 1, 8}}, Floppy{180, {40, 1, 9}},   Floppy{320, {40, 2, 8}},   Floppy{360, {40, 2, 9}},
        Floppy{720, {80, 2, 9}}, Floppy{1200, {80, 2, 15}}, Floppy{1440, {80, 2, 18}}, Floppy{2880, {80, 2, 36}},
    };
    if (boot::boot_drive(size) == 0) {
        for (const Floppy& floppy : floppies) {
            if (floppy.kib << 10 == size) return floppy.geometry;
        }
        return size <= 1440 << 10 ? Disk::Geometry{80, 2, 18} : Disk::Geometry{80, 2, 36};
    }
    const std::uint64_t sectors = (size + sector_bytes - 1) / sector_bytes;
    const unsigned heads = sectors <= 1024ULL * 16 * 63 ? 16 : 255;
    const std::uint64_t cylinders = (sectors + heads * 63 - 1) / (heads * 63);
    return {static_cast<unsigned>(std::min<std::uint64_t>(cylinders, 1024)), heads, 63};
}

}  // namespace

Disk::Disk(boot::ImagePtr image) : image_(std::move(image)) {
    if (!image_) return;
    drive_ = boot::boot_drive(image_->size());
    geometry_ = geometry_of(image_->size());
}

std::uint64_t Disk::sector_count() const noexcept {
    const std::uint64_t of_image = (image_->size() + sector_bytes - 1) / sector_bytes;
    return std::max<std::uint64_t>(of_image, std::uint64_t{geometry_.cylinders} * geometry_.heads * geometry_.sectors);
}

void Disk::call(boot::BiosFrame& frame, GuestMemory& memory) {
    const unsigned function = high(frame.eax);
    if (!image_ || low(frame.edx) != drive_) {
        if (function == 0x15)
            set_flag(frame, flag_carry, false), set_high(frame.eax, 0);  // no drive
        else
            finish(frame, bad_command);
        return;
    }
    const bool hard_disk = drive_ >= 0x80;
    switch (function) {
        case 0x00:  // reset
        case 0x01:  // status of the last call: each call has said its own
        case 0x0c:  // seek
        case 0x0d:
        case 0x10:
        case 0x11:
        case 0x16:  // disk changed: no
            return finish(frame, ok);
        case 0x02:
            return finish(frame, read_chs(frame, memory, false));
        case 0x04:
            return finish(frame, read_chs(frame, memory, true));
        case 0x03:
        case 0x05:
        case 0x43:
            return finish(frame, write_protected);
        case 0x08:
            return tell_geometry(frame);
        case 0x15:
            return tell_kind(frame);
        case 0x41:
            if (!hard_disk || word(frame.ebx) != 0x55aa) return finish(frame, bad_command);
            set_word(frame.ebx, 0xaa55);
            set_word(frame.ecx, 1);  // extended access
            finish(frame, ok);
            return set_high(frame.eax, 0x21);  // version 1.1
        case 0x42:
            return finish(frame, hard_disk ? read_extended(frame, memory, false) : bad_command);
        case 0x44:
            return finish(frame, hard_disk ? read_extended(frame, memory, true) : bad_command);
        case 0x48:
            return finish(frame, hard_disk ? tell_extended(frame, memory) : bad_command);
        default:
            return finish(frame, bad_command);
    }
}

unsigned Disk::read(std::uint64_t first, unsigned count, std::uint64_t address, GuestMemory& memory) const {
    std::vector<std::byte> bytes(count * sector_bytes);
    const std::uint64_t offset = first * sector_bytes;
    if (offset < image_->size()) {
        const auto there = std::min<std::uint64_t>(bytes.size(), image_->size() - offset);
        try {
            image_->read(offset, std::span(bytes).first(there));
        } catch (const Error&) {
            return controller_failed;
        }
    }
    return memory.write(address, bytes) == bytes.size() ? ok : boundary;
}

/// AL sectors from cylinder CH and the high bits of CL, sector CL, head DH to ES:BX.
unsigned Disk::read_chs(boot::BiosFrame& frame, GuestMemory& memory, bool verify) const {
    const unsigned count = low(frame.eax);
    const unsigned cylinder = high(frame.ecx) | (low(frame.ecx) & 0xc0U) << 2;
    const unsigned sector = low(frame.ecx) & 0x3f;
    const unsigned head = high(frame.edx);
    set_low(frame.eax, 0);
    if (count == 0 || count > 128) return bad_command;
    if (sector == 0 || sector > geometry_.sectors || head >= geometry_.heads || cylinder >= geometry_.cylinders) {
        return sector_not_found;
    }
    const std::uint64_t first = (std::uint64_t{cylinder} * geometry_.heads + head) * geometry_.sectors + sector - 1;
    if (first + count > sector_count()) return sector_not_found;
    if (!verify) {
        if (const unsigned status = read(first, count, linear(frame.es, frame.ebx), memory); status != ok) return status;
    }
    set_low(frame.eax, count);
    return ok;
}

/// The packet at DS:SI: its size, the number of sectors, where to, and the first sector.
unsigned Disk::read_extended(const boot::BiosFrame& frame, GuestMemory& memory, bool verify) const {
    struct {
        std::uint8_t size, reserved;
        std::uint16_t count, offset, segment;
        std::uint64_t first;
    } packet{};
    static_assert(sizeof packet == 16);
    const auto bytes = std::as_writable_bytes(std::span(&packet, 1));
    if (memory.read(linear(frame.ds, frame.esi), bytes) != bytes.size() || packet.size < 16) return bad_command;
    if (packet.count > 128) return bad_command;
    const std::uint64_t sectors = sector_count();
    if (packet.first > sectors || packet.count > sectors - packet.first) return sector_not_found;
    if (verify || packet.count == 0) return ok;
    return read(packet.first, packet.count, linear(packet.segment, packet.offset), memory);
}

/// The drive's parameters, 26 bytes, to DS:SI.
unsigned Disk::tell_extended(const boot::BiosFrame& frame, GuestMemory& memory) const {
    const std::uint64_t to = linear(frame.ds, frame.esi);
    std::array<std::byte, 2> room{};
    std::uint16_t size = 0;
    if (memory.read(to, room) != room.size()) return bad_command;
    std::memcpy(&size, room.data(), sizeof size);
    constexpr std::uint16_t needed = 26;
    if (size < needed) return bad_command;
    std::array<std::byte, needed> bytes{};
    const auto set = [&bytes](std::size_t at, auto value) { std::memcpy(bytes.data() + at, &value, sizeof value); };
    set(0, needed);
    set(4, geometry_.cylinders);
    set(8, geometry_.heads);
    set(12, geometry_.sectors);
    set(16, sector_count());
    set(24, static_cast<std::uint16_t>(sector_bytes));
    return memory.write(to, bytes) == bytes.size() ? ok : boundary;
}

void Disk::tell_geometry(boot::BiosFrame& frame) const {
    const unsigned last = geometry_.cylinders - 1;
    set_word(frame.ecx, (last & 0xff) << 8 | (last >> 2 & 0xc0) | geometry_.sectors);
    set_word(frame.edx, (geometry_.heads - 1) << 8 | 1);  // one drive
    if (drive_ < 0x80) {
        set_low(frame.ebx, geometry_.sectors == 36 ? 5 : geometry_.sectors == 18 ? 4 : geometry_.sectors == 15 ? 2 : 3);
        frame.es = static_cast<std::uint16_t>(boot::bios_code >> 4);
        set_word(frame.edi, boot::diskette_table);
    }
    set_low(frame.eax, 0);
    finish(frame, ok);
}

void Disk::tell_kind(boot::BiosFrame& frame) const {
    finish(frame, ok);
    if (drive_ < 0x80) return set_high(frame.eax, 1);  // floppy without change detection
    set_high(frame.eax, 3);                            // hard disk, with its number of sectors
    set_word(frame.ecx, static_cast<unsigned>(sector_count() >> 16));
    set_word(frame.edx, static_cast<unsigned>(sector_count()));
}

}  // namespace asyncvm::bios
