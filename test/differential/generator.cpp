#include "generator.hpp"

#include <array>
#include <random>
#include <utility>

#include "assembler.hpp"

namespace asyncvm::test {

namespace {

constexpr std::uint64_t cf = 1u << 0, pf = 1u << 2, af = 1u << 4, zf = 1u << 6, sf = 1u << 7, of = 1u << 11;
constexpr std::uint64_t all_flags = cf | pf | af | zf | sf | of;
constexpr unsigned rcx = 1, rsi = 6, rdi = 7;

/// What each condition of Jcc, SETcc and CMOVcc reads; the odd ones are the opposites of the even ones.
constexpr std::array<std::uint64_t, 8> condition_flags{of, cf, zf, cf | zf, sf, pf, sf | of, zf | sf | of};

class Generator {
public:
    Generator(std::uint64_t seed, Mode mode) : random_(seed), out_(mode), mode_(mode) {}

    Program run(unsigned instructions) {
        for (unsigned i = 0; i < instructions; ++i) one();
        out_.bytes({0xf4});
        return {out_.take(), undefined_};
    }

private:
    using Kind = void (Generator::*)();

    void one() {
        static constexpr std::array<Kind, 26> kinds{&Generator::arithmetic,
                                                    &Generator::arithmetic,
                                                    &Generator::arithmetic_memory,
                                                    &Generator::arithmetic_memory,
                                                    &Generator::arithmetic_immediate,
                                                    &Generator::increment,
                                                    &Generator::unary,
                                                    &Generator::load_immediate,
                                                    &Generator::move,
                                                    &Generator::extend,
                                                    &Generator::exchange,
                                                    &Generator::shift,
                                                    &Generator::shift,
                                                    &Generator::rotate,
                                                    &Generator::double_shift,
                                                    &Generator::multiply,
                                                    &Generator::divide,
                                                    &Generator::bit_test,
                                                    &Generator::bit_scan,
                                                    &Generator::swap_bytes,
                                                    &Generator::conditional,
                                                    &Generator::set_condition,
                                                    &Generator::compare_exchange,
                                                    &Generator::flags,
                                                    &Generator::stack,
                                                    &Generator::string};
        (this->*kinds[below(kinds.size())])();
    }

    std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
    bool coin() { return below(2) != 0; }

    /// 1, 2, 4 or 8 bytes.
    unsigned size() { return 1u << below(mode_ == Mode::long64 ? 4 : 3); }
    unsigned wide_size() { return 2u << below(mode_ == Mode::long64 ? 3 : 2); }
    unsigned stack_size() { return mode_ == Mode::long64 ? 8 : mode_ == Mode::protected32 ? 4 : 2; }

    /// A register that may be changed: neither RBX nor RSP, or what of them an 8-bit operand can name.
    unsigned any(unsigned size) {
        static constexpr std::array<unsigned, 6> wide{0, 1, 2, 5, 6, 7};
        static constexpr std::array<unsigned, 6> bytes{0, 1, 2, 4, 5, 6};  // AL, CL, DL, AH, CH, DH
        if (mode_ == Mode::long64) {
            const auto number = below(wide.size() + 8);
            return static_cast<unsigned>(number < 8 ? number + 8 : wide[number - 8]);
        }
        return size == 1 ? bytes[below(bytes.size())] : wide[below(wide.size())];
    }

    std::int8_t place() { return static_cast<std::int8_t>(below(240) - 120); }

    std::uint64_t value() {
        static constexpr std::array<std::uint64_t, 8> edges{0, 1, ~0ull, 0x7f, 0x80, 0x7fff'ffff, 0x8000'0000, 1ull << 63};
        return coin() ? random_() : edges[below(edges.size())];
    }

    static std::uint8_t for_size(std::uint8_t byte_opcode, unsigned size) {
        return static_cast<std::uint8_t>(byte_opcode | (size == 1 ? 0 : 1));
    }

    void defines(std::uint64_t flags) { undefined_ &= ~flags; }
    void leaves_open(std::uint64_t flags) { undefined_ |= flags; }

    /// Before what reads `flags`.
    void reads(std::uint64_t flags) {
        if ((undefined_ & flags) == 0) return;
        const unsigned size = wide_size();
        out_.registers({0x01}, any(size), any(size), size);  // add
        defines(all_flags);
    }

    void logic() {
        defines(all_flags);
        leaves_open(af);
    }

    /// add, or, adc, sbb, and, sub, xor, cmp
    std::uint8_t operation() {
        const auto number = static_cast<std::uint8_t>(below(8));
        if (number == 2 || number == 3) reads(cf);
        return number;
    }
    void after(std::uint8_t operation) {
        defines(all_flags);
        if (operation == 1 || operation == 4 || operation == 6) leaves_open(af);
    }

    void arithmetic() {
        const unsigned s = size();
        if (below(9) == 0) {
            out_.registers({for_size(0x84, s)}, any(s), any(s), s);  // test
            return logic();
        }
        const auto op = operation();
        const std::uint8_t direction = coin() ? 2 : 0;
        out_.registers({for_size(static_cast<std::uint8_t>(op << 3 | direction), s)}, any(s), any(s), s);
        after(op);
    }

    void arithmetic_memory() {
        const unsigned s = size();
        const auto op = operation();
        const bool to_register = coin();
        const bool lock = !to_register && op != 7 && coin();
        out_.memory({for_size(static_cast<std::uint8_t>(op << 3 | (to_register ? 2 : 0)), s)}, any(s), place(), s, lock);
        after(op);
    }

    void arithmetic_immediate() {
        const unsigned s = size();
        const auto op = operation();
        const bool small = s != 1 && coin();
        out_.registers({small ? std::uint8_t{0x83} : for_size(0x80, s)}, op, any(s), s);
        out_.immediate(value(), small ? 1 : s == 8 ? 4 : s);
        after(op);
    }

    void increment() {
        const unsigned s = size();
        out_.registers({for_size(0xfe, s)}, coin() ? 1 : 0, any(s), s);  // dec, inc
        defines(all_flags & ~cf);
    }

    void unary() {
        const unsigned s = size();
        const bool negate = coin();
        out_.registers({for_size(0xf6, s)}, negate ? 3 : 2, any(s), s);  // neg, not
        if (negate) defines(all_flags);
    }

    void load_immediate() {
        const unsigned s = wide_size();
        out_.with_register({0xb8}, any(s), s);
        out_.immediate(value(), s);
    }

    void move() {
        const unsigned s = size();
        switch (below(4)) {
            case 0:
                return out_.registers({for_size(0x88, s)}, any(s), any(s), s);
            case 1:
                return out_.memory({for_size(0x88, s)}, any(s), place(), s);
            case 2:
                return out_.memory({for_size(0x8a, s)}, any(s), place(), s);
            default:
                return out_.memory({0x8d}, any(2), place(), s == 1 ? 2 : s);  // lea
        }
    }

    void extend() {
        const unsigned to = wide_size();
        switch (below(4)) {
            case 0:
                return out_.plain(0x98, to);  // cbw, cwde, cdqe
            case 1:
                return out_.plain(0x99, to);  // cwd, cdq, cqo
            default:
                break;
        }
        const std::uint8_t sign = coin() ? 8 : 0;
        const bool word = to > 2 && coin();
        const auto opcode = static_cast<std::uint8_t>(0xb6 | sign | (word ? 1 : 0));
        out_.memory({0x0f, opcode}, any(to), place(), to);  // movzx, movsx
    }

    void exchange() {
        const unsigned s = size();
        if (coin()) return out_.registers({for_size(0x86, s)}, any(s), any(s), s);  // xchg
        out_.registers({0x0f, for_size(0xc0, s)}, any(s), any(s), s);               // xadd
        defines(all_flags);
    }

    /// A shift or rotation of a register by 1 to size - 1 bits; returns by how many.
    unsigned shift_by(std::uint8_t operation, unsigned s) {
        const auto count = static_cast<unsigned>(1 + below(8 * s - 1));
        unsigned target = any(s);
        if (coin()) {
            out_.registers({for_size(0xc0, s)}, operation, target, s);
            out_.immediate(count, 1);
            return count;
        }
        while (target == rcx || (s == 1 && target == rcx + 4)) target = any(s);
        out_.bytes({0xb1, static_cast<std::uint8_t>(count)});  // mov cl, count
        out_.registers({for_size(0xd2, s)}, operation, target, s);
        return count;
    }

    void shift() {
        static constexpr std::array<std::uint8_t, 3> operations{4, 5, 7};  // shl, shr, sar
        const unsigned count = shift_by(operations[below(3)], size());
        defines(all_flags);
        leaves_open(count == 1 ? af : af | of);
    }

    void rotate() {
        const auto operation = static_cast<std::uint8_t>(below(4));  // rol, ror, rcl, rcr
        if (operation >= 2) reads(cf);
        const unsigned count = shift_by(operation, size());
        defines(cf | of);
        if (count != 1) leaves_open(of);
    }

    void double_shift() {
        const unsigned s = wide_size();
        out_.registers({0x0f, coin() ? std::uint8_t{0xa4} : std::uint8_t{0xac}}, any(s), any(s), s);  // shld, shrd
        const auto count = 1 + below(8 * s - 1);
        out_.immediate(count, 1);
        defines(all_flags);
        leaves_open(count == 1 ? af : af | of);
    }

    void multiply() {
        const unsigned s = size();
        if (s != 1 && coin()) {
            out_.registers({0x0f, 0xaf}, any(s), any(s), s);  // imul
        } else {
            out_.registers({for_size(0xf6, s)}, coin() ? 4 : 5, any(s), s);  // mul, imul
        }
        defines(cf | of);
        leaves_open(sf | zf | af | pf);
    }

    /// Of 0:EAX, so that the quotient fits.
    void divide() {
        const unsigned s = wide_size();
        out_.registers({0x83}, 1, rcx, s);  // or ecx, 1
        out_.immediate(1, 1);
        out_.registers({0x31}, 2, 2, s);    // xor edx, edx
        out_.registers({0xf7}, 6, rcx, s);  // div
        leaves_open(all_flags);
    }

    void bit_test() {
        const unsigned s = wide_size();
        if (coin()) {
            out_.registers({0x0f, 0xba}, static_cast<unsigned>(4 + below(4)), any(s), s);
            out_.immediate(below(8 * s), 1);
        } else {
            const auto opcode = static_cast<std::uint8_t>(0xa3 + 8 * below(4));  // bt, bts, btr, btc
            out_.registers({0x0f, opcode}, any(s), any(s), s);
        }
        defines(cf);
        leaves_open(of | sf | af | pf);
    }

    /// Of a value that is not 0, for which the result is undefined.
    void bit_scan() {
        const unsigned s = wide_size();
        const unsigned source = any(s);
        out_.registers({0x83}, 1, source, s);  // or
        out_.immediate(below(127) + 1, 1);
        out_.registers({0x0f, coin() ? std::uint8_t{0xbc} : std::uint8_t{0xbd}}, any(s), source, s);
        defines(zf);
        leaves_open(cf | of | sf | af | pf);
    }

    void swap_bytes() { out_.with_register({0x0f, 0xc8}, any(4), mode_ == Mode::long64 && coin() ? 8 : 4); }

    std::uint8_t condition() {
        const auto number = static_cast<std::uint8_t>(below(16));
        reads(condition_flags[number / 2]);
        return number;
    }

    void conditional() {
        const unsigned s = wide_size();
        const auto number = condition();
        out_.registers({0x0f, static_cast<std::uint8_t>(0x40 | number)}, any(s), any(s), s);  // cmov
    }

    void set_condition() {
        const auto number = condition();
        out_.registers({0x0f, static_cast<std::uint8_t>(0x90 | number)}, 0, any(1), 1);
    }

    void compare_exchange() {
        unsigned s = size();
        // Unicorn 2.0 clears the upper half of RAX also when a comparison of 4 bytes succeeds; processors leave it alone.
        if (mode_ == Mode::long64 && s == 4) s = 8;
        if (coin()) {
            out_.registers({0x0f, for_size(0xb0, s)}, any(s), any(s), s);
        } else {
            out_.memory({0x0f, for_size(0xb0, s)}, any(s), place(), s, coin());
        }
        defines(all_flags);
    }

    void flags() {
        switch (below(6)) {
            case 0:
                defines(cf);
                return out_.bytes({0xf8});  // clc
            case 1:
                defines(cf);
                return out_.bytes({0xf9});  // stc
            case 2:
                reads(cf);
                return out_.bytes({0xf5});  // cmc
            case 3:
                reads(sf | zf | af | pf | cf);
                return out_.bytes({0x9f});  // lahf
            case 4:
                defines(sf | zf | af | pf | cf);
                return out_.bytes({0x9e});  // sahf
            default:
                return out_.bytes({coin() ? std::uint8_t{0xfc} : std::uint8_t{0xfd}});  // cld, std
        }
    }

    void stack() {
        const unsigned s = mode_ == Mode::long64 ? 4 : stack_size();  // long mode's 8 bytes take no prefix
        out_.with_register({0x50}, any(s), s);
        out_.with_register({0x58}, any(s), s);
    }

    /// At a known place in memory; with REP a known number of times.
    void string() {
        const unsigned pointer = stack_size();
        const unsigned s = size();
        out_.memory({0x8d}, rdi, place(), pointer);  // lea
        out_.memory({0x8d}, rsi, place(), pointer);
        static constexpr std::array<std::uint8_t, 5> opcodes{0xa4, 0xa6, 0xaa, 0xac, 0xae};  // movs, cmps, stos, lods, scas
        const std::uint8_t opcode = for_size(opcodes[below(opcodes.size())], s);
        const bool compares = (opcode & 0xfe) == 0xa6 || (opcode & 0xfe) == 0xae;
        if (coin()) {
            out_.with_register({0xb8}, rcx, pointer);  // mov ecx, count
            out_.immediate(1 + below(4), pointer);
            out_.bytes({compares && coin() ? std::uint8_t{0xf2} : std::uint8_t{0xf3}});
        }
        out_.plain(opcode, s);
        if (compares) defines(all_flags);
    }

    std::mt19937_64 random_;
    Assembler out_;
    const Mode mode_;
    std::uint64_t undefined_ = 0;
};

}  // namespace

Program generate_program(std::uint64_t seed, Mode mode, unsigned instructions) {
    return Generator(seed, mode).run(instructions);
}

}  // namespace asyncvm::test
