/// The setup header of a Linux kernel: Linux, Documentation/arch/x86/boot.rst. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "boot/image.hpp"

namespace asyncvm::boot {

/// The fields as the file has them. One that its protocol or its header's length does not have is 0, but for the limits,
/// which then have the values that the protocol gives them.
struct SetupHeader {
    std::uint16_t version = 0;   ///< 0x020f is protocol 2.15
    std::uint64_t end = 0;       ///< offset of the first byte that is no header any more
    std::uint64_t payload = 0;   ///< offset of the protected-mode code; it ends with the file
    std::uint8_t loadflags = 0;  ///< bit 0: the payload goes to 1 MiB or above
    std::uint32_t code32_start = 0;
    std::uint64_t initrd_last = 0;    ///< initrd_addr_max: where the initrd's last byte may be
    std::uint64_t alignment = 0;      ///< kernel_alignment, bytes: a power of 2
    bool relocatable = false;         ///< relocatable_kernel
    std::uint16_t xloadflags = 0;     ///< bit 0: 64-bit entry; bit 1: anything may be above 4 GiB
    std::uint32_t cmdline_size = 0;   ///< most bytes of the command line, without the NUL
    std::uint32_t packed_offset = 0;  ///< payload_offset: of the compressed kernel, in the payload
    std::uint32_t packed_size = 0;    ///< payload_length
    std::uint64_t pref_address = 0;   ///< for 2.06 to 2.09: code32_start
    std::uint64_t init_size = 0;      ///< bytes from the load address on that the kernel uses while it unpacks itself
    std::string release;              ///< "6.1.0-13-amd64 (debian-kernel@…) …"; empty: the header has none

    [[nodiscard]] bool entry64() const noexcept { return version >= 0x020c && (xloadflags & 1) != 0; }
    [[nodiscard]] bool above_4_gib() const noexcept { return version >= 0x020c && (xloadflags & 2) != 0; }

    /// "2.15"
    [[nodiscard]] std::string protocol() const;
};

/// Reads and checks the header of a file that has "HdrS" at 0x202. Throws Error(guest_image) that names the field and its
/// value: a protocol before 2.06, a file that needs real mode and a BIOS, a truncated file.
[[nodiscard]] SetupHeader read_setup_header(const Image& image);

}  // namespace asyncvm::boot
