/// Just enough of an x86 assembler for generated programs: integer instructions on registers and on one place in memory.
#pragma once

#include <asyncvm/loader.hpp>

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

namespace asyncvm::test {

class Assembler {
public:
    explicit Assembler(Mode mode) : mode_(mode) {}

    void bytes(std::initializer_list<std::uint8_t> list) { code_.insert(code_.end(), list); }

    /// Little-endian.
    void immediate(std::uint64_t value, unsigned size) {
        for (unsigned i = 0; i < size; ++i) code_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    }

    /// `opcode` with a register operand and a register in r/m. `size` is 1, 2, 4 or 8 bytes; with 1 the opcode is that of
    /// the 8-bit form, and `byte_rex` is wanted for SPL to DIL.
    void registers(std::initializer_list<std::uint8_t> opcode, unsigned reg, unsigned rm, unsigned size) {
        prefixes(size, reg, rm, size == 1 && mode_ == Mode::long64 && (reg >= 4 || rm >= 4));
        bytes(opcode);
        code_.push_back(static_cast<std::uint8_t>(0xc0 | (reg & 7) << 3 | (rm & 7)));
    }

    /// The same with [bx + displacement], [ebx + ...] or [rbx + ...] in r/m.
    void memory(std::initializer_list<std::uint8_t> opcode, unsigned reg, std::int8_t displacement, unsigned size,
                bool lock = false) {
        if (lock) code_.push_back(0xf0);
        prefixes(size, reg, 0, size == 1 && mode_ == Mode::long64 && reg >= 4);
        bytes(opcode);
        const unsigned rm = mode_ == Mode::real16 ? 7 : 3;
        code_.push_back(static_cast<std::uint8_t>(0x40 | (reg & 7) << 3 | rm));
        code_.push_back(static_cast<std::uint8_t>(displacement));
    }

    /// An opcode without operands, with the prefixes for `size`.
    void plain(std::uint8_t opcode, unsigned size) {
        prefixes(size, 0, 0, false);
        code_.push_back(opcode);
    }

    /// An opcode with a register in its low three bits.
    void with_register(std::initializer_list<std::uint8_t> opcode, unsigned reg, unsigned size) {
        prefixes(size, 0, reg, false);
        bytes(opcode);
        code_.back() = static_cast<std::uint8_t>(code_.back() | (reg & 7));
    }

    [[nodiscard]] Mode mode() const noexcept { return mode_; }
    [[nodiscard]] std::vector<std::uint8_t> take() { return std::move(code_); }

private:
    void prefixes(unsigned size, unsigned reg, unsigned rm, bool rex) {
        if (size == 2 && mode_ != Mode::real16) code_.push_back(0x66);
        if (size == 4 && mode_ == Mode::real16) code_.push_back(0x66);
        const unsigned bits = (size == 8 ? 8u : 0u) | (reg >= 8 ? 4u : 0u) | (rm >= 8 ? 1u : 0u);
        if (mode_ == Mode::long64 && (bits != 0 || rex)) code_.push_back(static_cast<std::uint8_t>(0x40 | bits));
    }

    Mode mode_;
    std::vector<std::uint8_t> code_;
};

}  // namespace asyncvm::test
