/// Flat guests: a file without any header, loaded at an address and entered there. docs/guests.md shows them from outside.
#pragma once

#include "loader/mode.hpp"

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/registers.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace asyncvm {

struct FlatGuest {
    std::string path;  ///< a file or a pipe, "-" for the standard input; with `bytes` only a name for messages
    std::optional<std::span<const std::byte>> bytes{};  ///< the image itself: no file is read
    std::uint64_t load = 0x10000;                       ///< guest-physical address of the image's first byte
    std::optional<std::uint64_t> entry{};               ///< where the guest starts; not given: at `load`
    Mode mode = Mode::real16;
};

struct LoadedGuest {
    Registers registers;     ///< what the first vCPU starts with
    std::uint64_t size = 0;  ///< bytes of the image
    std::string note;        ///< one line that a person should see, often empty
};

/// Copies the image into the guest's RAM and makes the registers (and, for Mode::protected32 and long64, the boot tables)
/// that it starts with. Blocks while a pipe has nothing to give. Throws Error(guest_image).
[[nodiscard]] LoadedGuest load_flat(GuestMemory& memory, const FlatGuest& guest);

}  // namespace asyncvm
