#include "gdb/trap_flag.hpp"

#include <algorithm>
#include <array>

#include "gdb/register_file.hpp"
#include "x86/page_walk.hpp"

namespace asyncvm::gdb {

bool pushes_flags(std::span<const std::byte> code, bool long_mode) noexcept {
    constexpr std::array prefixes{0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
    constexpr int pushf = 0x9c;
    for (const std::byte byte : code) {
        const int value = std::to_integer<int>(byte);
        const bool rex = long_mode && (value & 0xf0) == 0x40;
        if (!rex && std::ranges::find(prefixes, value) == prefixes.end()) return value == pushf;
    }
    return false;
}

void hide_trap_flag(GuestMemory& memory, const Registers& before, const Registers& after) noexcept {
    constexpr std::byte trap_flag{1};  // in the second byte
    std::array<std::byte, 15> code{};
    const std::size_t count = read_linear(memory, before, linear_pc(before), code);
    if (!pushes_flags(std::span(code).first(count), width_of(before) == Width::long64)) return;
    std::byte flags{};
    const std::uint64_t place = linear_sp(after) + 1;
    if (read_linear(memory, after, place, std::span(&flags, 1)) == 0 || (flags & trap_flag) == std::byte{}) return;
    flags &= ~trap_flag;
    write_linear(memory, after, place, std::span(&flags, 1));
}

}  // namespace asyncvm::gdb
