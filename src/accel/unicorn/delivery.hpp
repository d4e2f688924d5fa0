/// How an exception or a software interrupt reaches the guest's handler. Unicorn does not do it: it only says that there was
/// one. Pure.
#pragma once

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/registers.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace asyncvm::unicorn {

struct Delivery {
    enum class Kind : std::uint8_t {
        handler,    ///< the guest goes on at cs:rip
        shut_down,  ///< no handler, and none for the fault that this makes: a triple fault
        refused,    ///< there is a handler, but what it needs is missing here
    };
    Kind kind = Kind::shut_down;
    std::string_view reason{};  ///< refused: why; a literal
    std::uint16_t cs = 0;
    std::uint64_t rip = 0;
    std::uint64_t rsp = 0;
    std::uint64_t rflags = 0;
    std::uint64_t frame_address = 0;  ///< linear
    std::size_t frame_size = 0;
    std::array<std::byte, 40> frame{};
};

/// `registers` are those at the instruction (`fault`: RIP still points to it) or behind it (INT n, INT3, traps). Segments
/// other than CS, privilege changes, interrupt stacks and error codes are refused.
[[nodiscard]] Delivery deliver(const GuestMemory& memory, const Registers& registers, unsigned vector, bool fault);

}  // namespace asyncvm::unicorn
