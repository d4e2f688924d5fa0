#include "x86/xsave_area.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace asyncvm {

namespace {

// Offsets in bytes.
constexpr std::size_t control_at = 0;
constexpr std::size_t status_at = 2;
constexpr std::size_t tags_at = 4;
constexpr std::size_t opcode_at = 6;
constexpr std::size_t instruction_at = 8;
constexpr std::size_t operand_at = 16;
constexpr std::size_t mxcsr_at = 24;
constexpr std::size_t st_at = 32;
constexpr std::size_t xmm_at = 160;
constexpr std::size_t present_at = 512;  ///< XSTATE_BV: parts that are not as after a reset
constexpr std::size_t place = 16;        ///< for each register

constexpr std::uint64_t x87_part = 1;
constexpr std::uint64_t sse_part = 2;
constexpr std::uint64_t avx_part = 4;

template <typename T>
T get(std::span<const std::byte> area, std::size_t at) {
    T value{};
    std::memcpy(&value, area.data() + at, sizeof value);
    return value;
}

template <typename T>
void put(std::span<std::byte> area, std::size_t at, T value) {
    std::memcpy(area.data() + at, &value, sizeof value);
}

/// Whether there is room for the sixteen halves.
bool has_avx(std::size_t size, std::size_t avx_offset) {
    constexpr std::size_t needed = 16 * place;
    return avx_offset >= xsave_least && avx_offset <= size && size - avx_offset >= needed;
}

/// The full tag of a register that is not empty (Intel SDM vol. 1, 8.1.7).
std::uint16_t tag_of(const std::array<std::byte, 10>& value) {
    constexpr std::uint16_t valid = 0, zero = 1, special = 2;
    const auto exponent = static_cast<std::uint16_t>(get<std::uint16_t>(value, 8) & 0x7fff);
    const auto mantissa = get<std::uint64_t>(value, 0);
    if (exponent == 0 && mantissa == 0) return zero;
    return exponent != 0 && exponent != 0x7fff && mantissa >> 63 != 0 ? valid : special;
}

/// Of the area's eight bits, which only say which registers are not empty.
std::uint16_t full_tags(std::uint8_t used, const FpuRegisters& registers) {
    const unsigned top = registers.status >> 11 & 7u;
    std::uint16_t tags = 0;
    for (unsigned i = 0; i < 8; ++i) {
        const std::uint16_t tag = (used >> i & 1) != 0 ? tag_of(registers.st[(i - top) & 7]) : std::uint16_t{3};
        tags = static_cast<std::uint16_t>(tags | tag << (2 * i));
    }
    return tags;
}

std::uint8_t short_tags(std::uint16_t tags) {
    unsigned used = 0;
    for (unsigned i = 0; i < 8; ++i) {
        if ((tags >> (2 * i) & 3) != 3) used |= 1u << i;
    }
    return static_cast<std::uint8_t>(used);
}

template <typename Registers>
void get_all(Registers& to, std::span<const std::byte> area, std::size_t at) {
    for (auto& one : to) {
        std::ranges::copy(area.subspan(at, one.size()), one.begin());
        at += place;
    }
}

template <typename Registers>
void put_all(const Registers& from, std::span<std::byte> area, std::size_t at) {
    for (const auto& one : from) {
        std::ranges::copy(one, area.subspan(at).begin());
        at += place;
    }
}

}  // namespace

FpuRegisters read_xsave_area(std::span<const std::byte> area, std::size_t avx_offset) {
    FpuRegisters registers;
    registers.avx = avx_offset != 0;
    const auto present = get<std::uint64_t>(area, present_at);
    if ((present & x87_part) != 0) {
        registers.control = get<std::uint16_t>(area, control_at);
        registers.status = get<std::uint16_t>(area, status_at);
        registers.opcode = get<std::uint16_t>(area, opcode_at);
        registers.instruction = get<std::uint64_t>(area, instruction_at);
        registers.operand = get<std::uint64_t>(area, operand_at);
        get_all(registers.st, area, st_at);
        registers.tags = full_tags(get<std::uint8_t>(area, tags_at), registers);
    }
    if ((present & sse_part) != 0) get_all(registers.xmm, area, xmm_at);
    // It goes with SSE and with AVX.
    if ((present & (sse_part | avx_part)) != 0) registers.mxcsr = get<std::uint32_t>(area, mxcsr_at);
    if ((present & avx_part) != 0 && has_avx(area.size(), avx_offset)) get_all(registers.ymm_high, area, avx_offset);
    return registers;
}

void write_xsave_area(std::span<std::byte> area, std::size_t avx_offset, const FpuRegisters& registers) {
    put(area, control_at, registers.control);
    put(area, status_at, registers.status);
    put(area, tags_at, short_tags(registers.tags));
    put(area, opcode_at, registers.opcode);
    put(area, instruction_at, registers.instruction);
    put(area, operand_at, registers.operand);
    put_all(registers.st, area, st_at);
    put_all(registers.xmm, area, xmm_at);
    put(area, mxcsr_at, registers.mxcsr);
    auto present = get<std::uint64_t>(area, present_at) | x87_part | sse_part;
    if (has_avx(area.size(), avx_offset)) {
        put_all(registers.ymm_high, area, avx_offset);
        present |= avx_part;
    }
    put(area, present_at, present);
}

}  // namespace asyncvm
