#include "report/misfit.hpp"

#include "x86/bits.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace asyncvm {

namespace {

/// Opcodes that compilers use with REX.W all the time: MOV, LEA, ADD, SUB, CMP, XOR, TEST, and those with a number.
bool common_opcode(std::uint8_t opcode) noexcept {
    constexpr std::array<std::uint8_t, 10> common{0x89, 0x8b, 0x8d, 0x01, 0x29, 0x39, 0x31, 0x85, 0x83, 0xc7};
    return std::ranges::find(common, opcode) != common.end() || (opcode >= 0xb8 && opcode <= 0xbf);
}

}  // namespace

bool looks_like_64_bits(std::span<const std::byte> code) noexcept {
    int found = 0;
    for (std::size_t i = 0; i + 1 < code.size(); ++i) {
        const auto prefix = static_cast<std::uint8_t>(code[i]);
        if ((prefix & 0xf8) == 0x48 && common_opcode(static_cast<std::uint8_t>(code[i + 1]))) ++found;
    }
    return found >= 3;
}

bool has_bios(const GuestMemory& memory) noexcept {
    constexpr std::uint64_t vector_of_disks = 0x13 * 4;
    std::array<std::byte, 4> vector{};
    return memory.read(vector_of_disks, vector) == vector.size() && vector != std::array<std::byte, 4>{};
}

std::string about_misfit(const CrashContext& guest, const CodeContext& context) {
    if (guest.started_with == nullptr || ((guest.started_with->cr0 | context.registers.cr0) & cr0_pe) != 0) return {};
    const auto start = linear_address(*guest.started_with, guest.started_with->cs, guest.started_with->rip);
    constexpr std::size_t signature_at = 510;
    std::array<std::byte, 512> sector{};
    const auto there = read_linear(guest.memory, context.registers, start, sector);
    constexpr std::array elf{std::byte{0x7f}, std::byte{'E'}, std::byte{'L'}, std::byte{'F'}};
    if (std::memcmp(sector.data(), elf.data(), elf.size()) == 0) {
        return "this is an ELF file, and its header was run as code: drop --format flat";
    }
    if (there == sector.size() && sector[signature_at] == std::byte{0x55} && sector[signature_at + 1] == std::byte{0xaa} &&
        !has_bios(guest.memory)) {
        return "this is a boot sector (0x55aa), and there is no BIOS here: start it with --format boot";
    }
    if (looks_like_64_bits(std::span(sector).first(std::min<std::size_t>(there, 64)))) {
        return "this looks like 64-bit code, which was started in 16-bit mode: take --mode 64";
    }
    return {};
}

}  // namespace asyncvm
