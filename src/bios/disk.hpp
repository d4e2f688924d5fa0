/// INT 13h: the disk that the boot sector comes from. Pure, but for reading the image.
#pragma once

#include <asyncvm/guest_memory.hpp>

#include <cstdint>

#include "boot/bios_stub.hpp"
#include "boot/image.hpp"

namespace asyncvm::bios {

/// Read-only: writes are answered with "write protected".
class Disk {
public:
    /// `image` may be null: no drive then. Behind its end the disk has zeros, to the end of its geometry.
    explicit Disk(boot::ImagePtr image);

    void call(boot::BiosFrame& frame, GuestMemory& memory);

    struct Geometry {
        unsigned cylinders = 0, heads = 0, sectors = 0;
    };
    [[nodiscard]] const Geometry& geometry() const noexcept { return geometry_; }

private:
    [[nodiscard]] std::uint64_t sector_count() const noexcept;
    [[nodiscard]] unsigned read(std::uint64_t first, unsigned count, std::uint64_t address, GuestMemory& memory) const;
    [[nodiscard]] unsigned read_chs(boot::BiosFrame& frame, GuestMemory& memory, bool verify) const;
    [[nodiscard]] unsigned read_extended(const boot::BiosFrame& frame, GuestMemory& memory, bool verify) const;
    [[nodiscard]] unsigned tell_extended(const boot::BiosFrame& frame, GuestMemory& memory) const;
    void tell_geometry(boot::BiosFrame& frame) const;
    void tell_kind(boot::BiosFrame& frame) const;

    boot::ImagePtr image_;
    std::uint8_t drive_ = 0;
    Geometry geometry_;
};

}  // namespace asyncvm::bios
