/// Loading a guest: its file goes into guest memory, and the registers that it starts with come out. docs/guests.md
#pragma once

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/registers.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace asyncvm {

/// The processor modes that a flat guest can start in.
enum class Mode : std::uint8_t {
    real16,       ///< as after a reset, but at the entry: 16-bit code, segments of 64 KiB
    protected32,  ///< flat 4 GiB segments, no paging
    long64,       ///< the first 4 GiB mapped one to one
};

/// A guest without any header: its bytes are loaded at one address and entered at another.
struct FlatGuest {
    std::string path;  ///< a file or a pipe, "-" for the standard input; with `bytes` only a name for messages
    std::optional<std::span<const std::byte>> bytes{};  ///< the image itself: no file is read
    std::uint64_t load = 0x10000;                       ///< guest-physical address of the image's first byte
    std::optional<std::uint64_t> entry{};               ///< where the guest starts; not given: at `load`
    Mode mode = Mode::real16;
};

struct LoadedGuest {
    Registers registers;     ///< for Machine::set_registers(): what a vCPU starts with
    std::uint64_t size = 0;  ///< bytes of the image
    std::string note;        ///< one line for a person, often empty
};

/// Copies the image into the guest's RAM and makes the registers that it starts with; for Mode::protected32 and Mode::long64
/// also the boot tables. The stack pointer is at the end of the entry's segment or of the RAM below 3 GiB. Before the guest
/// runs, on the device loop's thread or before it runs. Blocks while a pipe has nothing to give. Throws Error(guest_image)
/// with the reason and a remedy: no such file, an image that does not fit, an entry out of reach, an ELF file or a kernel.
[[nodiscard]] LoadedGuest load_flat(GuestMemory& memory, const FlatGuest& guest);

}  // namespace asyncvm
