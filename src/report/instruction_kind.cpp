#include "report/instruction_kind.hpp"

namespace asyncvm {
namespace {

/// The opcode's bytes, one after the other; 0 behind the end, which is no opcode of interest anywhere.
class Reader {
public:
    explicit Reader(std::span<const std::byte> code) noexcept : code_(code) {}
    [[nodiscard]] std::uint8_t peek() const noexcept { return code_.empty() ? 0 : std::to_integer<std::uint8_t>(code_[0]); }
    std::uint8_t take() noexcept {
        const std::uint8_t byte = peek();
        if (!code_.empty()) code_ = code_.subspan(1);
        return byte;
    }
    [[nodiscard]] bool empty() const noexcept { return code_.empty(); }

private:
    std::span<const std::byte> code_;
};

struct Prefixes {
    bool f2 = false;
    bool f3 = false;
    bool rex_w = false;
};

constexpr bool within(std::uint8_t value, std::uint8_t from, std::uint8_t to) noexcept {
    return value >= from && value <= to;
}

Prefixes take_prefixes(Reader& reader, unsigned bits) noexcept {
    Prefixes prefixes;
    for (; !reader.empty(); reader.take()) {
        switch (reader.peek()) {
            case 0xf2:
                prefixes.f2 = true;
                continue;
            case 0xf3:
                prefixes.f3 = true;
                continue;
            case 0x26:
            case 0x2e:
            case 0x36:
            case 0x3e:
            case 0x64:
            case 0x65:
            case 0x66:
            case 0x67:
            case 0xf0:
                continue;
            default:
                break;
        }
        if (bits != 64 || !within(reader.peek(), 0x40, 0x4f)) break;
        prefixes.rex_w = (reader.peek() & 8) != 0;
    }
    return prefixes;
}

/// 0f 01, where the third byte decides.
InstructionKind of_group7(std::uint8_t modrm) noexcept {
    switch (modrm) {
        case 0xc1:
        case 0xd9:
            return InstructionKind::hypercall;
        case 0xc8:  // monitor
        case 0xc9:  // mwait
        case 0xca:  // clac
        case 0xcb:  // stac
        case 0xd0:  // xgetbv
        case 0xd1:  // xsetbv
        case 0xf9:  // rdtscp
            return InstructionKind::extension;
        default:
            return InstructionKind::plain;
    }
}

/// 0f 38.
InstructionKind of_map38(Reader reader) noexcept {
    // crc32, movbe, and the ones of BMI and ADX: general-purpose registers, but new.
    return within(reader.peek(), 0xf0, 0xf7) ? InstructionKind::extension : InstructionKind::simd;
}

/// 0f ae, where the middle field of the third byte decides.
InstructionKind of_group15(std::uint8_t modrm) noexcept {
    const bool memory = (modrm >> 6) != 3;
    return memory && (modrm >> 3 & 7) < 7 ? InstructionKind::simd : InstructionKind::plain;  // fxsave, ldmxcsr, xsave ...
}

InstructionKind of_group9(std::uint8_t modrm, const Prefixes& prefixes) noexcept {
    const unsigned operation = modrm >> 3 & 7;
    if (operation == 1) return prefixes.rex_w ? InstructionKind::extension : InstructionKind::plain;   // cmpxchg16b
    return operation >= 6 && (modrm >> 6) == 3 ? InstructionKind::extension : InstructionKind::plain;  // rdrand, rdseed
}

InstructionKind of_map0f(Reader reader, const Prefixes& prefixes) noexcept {
    const std::uint8_t opcode = reader.take();
    switch (opcode) {
        case 0x01:
            return of_group7(reader.peek());
        case 0x05:
        case 0x07:
        case 0x34:
        case 0x35:
            return InstructionKind::syscall;
        case 0x38:
            return of_map38(reader);
        case 0x3a:
            return InstructionKind::simd;
        case 0x78:  // vmread
        case 0x79:  // vmwrite
            return InstructionKind::plain;
        case 0xae:
            return of_group15(reader.peek());
        case 0xb8:  // popcnt
        case 0xbc:  // tzcnt
        case 0xbd:  // lzcnt
            return prefixes.f3 ? InstructionKind::extension : InstructionKind::plain;
        case 0xc7:
            return of_group9(reader.peek(), prefixes);
        case 0xc2:
        case 0xc4:
        case 0xc5:
        case 0xc6:
            return InstructionKind::simd;
        default:
            break;
    }
    const bool simd =
        within(opcode, 0x10, 0x17) || within(opcode, 0x28, 0x2f) || within(opcode, 0x50, 0x7f) || within(opcode, 0xd0, 0xfe);
    return simd ? InstructionKind::simd : InstructionKind::plain;
}

}  // namespace

InstructionKind instruction_kind(std::span<const std::byte> code, unsigned bits) noexcept {
    Reader reader(code);
    const Prefixes prefixes = take_prefixes(reader, bits);
    const std::uint8_t opcode = reader.take();
    switch (opcode) {
        case 0x0f:
            return of_map0f(reader, prefixes);
        case 0xcc:
        case 0xcd:
        case 0xce:
        case 0xcf:
            return InstructionKind::interrupt;
        case 0x9b:
            return InstructionKind::x87;
        case 0x62:
        case 0xc4:
        case 0xc5:
            // VEX and EVEX; outside of 64-bit code LES, LDS and BOUND unless a register operand gives them away.
            return bits == 64 || (reader.peek() >> 6) == 3 ? InstructionKind::simd : InstructionKind::plain;
        default:
            return within(opcode, 0xd8, 0xdf) ? InstructionKind::x87 : InstructionKind::plain;
    }
}

}  // namespace asyncvm
