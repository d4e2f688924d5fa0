/// What guests find of a BIOS in memory: interrupt vectors, and code behind them that asks a device, or refuses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace asyncvm::boot {

/// The code behind a vector pushes a BiosFrame, writes its linear address to this port, 4 bytes, and restores what the
/// device has left in it.
inline constexpr std::uint16_t bios_port = 0x4f0;

/// Where that code is; its segment.
inline constexpr std::uint64_t bios_code = 0xf'f000;
/// Offset in it of the diskette parameter table, to which vector 0x1e points.
inline constexpr std::uint16_t diskette_table = 0x180;

/// A call as it lies on the guest's stack.
struct BiosFrame {
    std::uint16_t es, ds;
    std::uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
    std::uint16_t vector;
    std::uint16_t ip, cs, flags;  ///< of the caller: IRET takes them
};
static_assert(sizeof(BiosFrame) == 44);

enum class BiosCalls {
    answered,  ///< by the device at bios_port
    refused,   ///< with the carry flag and AH 0x86, "function not supported"
};

/// The code, for bios_code, and the vectors, for address 0. Vectors of exceptions, of DOS and of others stay empty.
[[nodiscard]] std::vector<std::byte> make_bios_code(BiosCalls calls = BiosCalls::answered);
[[nodiscard]] std::vector<std::byte> make_bios_vectors();

/// The drive that a BIOS would start an image of so many bytes as: 0 for what fits a floppy disk, else 0x80.
[[nodiscard]] std::uint8_t boot_drive(std::uint64_t image_size) noexcept;

}  // namespace asyncvm::boot
