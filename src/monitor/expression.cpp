#include "monitor/expression.hpp"

#include "monitor/human_error.hpp"
#include "x86/linear.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

namespace asyncvm::monitor {

namespace {

constexpr std::uint64_t low_half = 0xffff'ffff;

struct General {
    std::string_view name;  ///< of 64 bits; that of 32 has an e in front instead of the r
    std::uint64_t Registers::*value;
};

constexpr General general[] = {
    {"rax", &Registers::rax}, {"rbx", &Registers::rbx},       {"rcx", &Registers::rcx}, {"rdx", &Registers::rdx},
    {"rsi", &Registers::rsi}, {"rdi", &Registers::rdi},       {"rsp", &Registers::rsp}, {"rbp", &Registers::rbp},
    {"r8", &Registers::r8},   {"r9", &Registers::r9},         {"r10", &Registers::r10}, {"r11", &Registers::r11},
    {"r12", &Registers::r12}, {"r13", &Registers::r13},       {"r14", &Registers::r14}, {"r15", &Registers::r15},
    {"rip", &Registers::rip}, {"rflags", &Registers::rflags}, {"cr0", &Registers::cr0}, {"cr2", &Registers::cr2},
    {"cr3", &Registers::cr3}, {"cr4", &Registers::cr4},       {"cr8", &Registers::cr8}, {"efer", &Registers::efer},
};

struct NamedSegment {
    std::string_view name;
    Segment Registers::*value;
};

constexpr NamedSegment segments[] = {
    {"cs", &Registers::cs}, {"ds", &Registers::ds}, {"es", &Registers::es}, {"fs", &Registers::fs},
    {"gs", &Registers::gs}, {"ss", &Registers::ss}, {"tr", &Registers::tr}, {"ldt", &Registers::ldt},
};

std::optional<std::uint64_t> part_of(std::string_view part, std::uint64_t base, std::uint64_t limit) {
    if (part == "base") return base;
    if (part == "limit") return limit;
    return std::nullopt;
}

/// Reads from left to right.
class Reader {
public:
    Reader(std::string_view text, const Registers& registers) : text_(text), registers_(registers) {}

    std::uint64_t all() {
        const auto value = sum();
        if (!text_.empty()) throw HumanError("extraneous characters at the end of line");
        return value;
    }

private:
    /// Each '(' and each sign is a level.
    static constexpr unsigned deepest = 100;

    void skip_blanks() { text_.remove_prefix(std::min(text_.find_first_not_of(' '), text_.size())); }

    /// The next character if it is one of these; 0: it is not.
    char take(std::string_view which) {
        skip_blanks();
        if (text_.empty() || which.find(text_.front()) == which.npos) return 0;
        const char taken = text_.front();
        text_.remove_prefix(1);
        return taken;
    }

    std::uint64_t sum() {
        auto value = logic();
        while (const char op = take("+-")) {
            const auto right = logic();
            value = op == '+' ? value + right : value - right;
        }
        return value;
    }

    std::uint64_t logic() {
        auto value = product();
        while (const char op = take("&|^")) {
            const auto right = product();
            value = op == '&' ? value & right : op == '|' ? value | right : value ^ right;
        }
        return value;
    }

    std::uint64_t product() {
        auto value = unary();
        while (const char op = take("*/%")) {
            const auto right = unary();
            if (op != '*' && right == 0) throw HumanError("division by zero");
            value = op == '*' ? value * right : op == '/' ? value / right : value % right;
        }
        return value;
    }

    std::uint64_t unary() {
        if (++depth_ > deepest) throw HumanError("the expression is too deep");
        const auto value = signed_value();
        --depth_;
        return value;
    }

    std::uint64_t signed_value() {
        switch (take("+-~('$")) {
            case '+':
                return unary();
            case '-':
                return 0 - unary();
            case '~':
                return ~unary();
            case '(':
                return in_parentheses();
            case '\'':
                return character();
            case '$':
                return named();
            default:
                return number();
        }
    }

    std::uint64_t in_parentheses() {
        const auto value = sum();
        if (take(")") == 0) throw HumanError("')' expected");
        return value;
    }

    std::uint64_t character() {
        if (text_.size() < 2) throw HumanError("character constant expected");
        if (text_[1] != '\'') throw HumanError("missing terminating \' character");
        const auto value = static_cast<unsigned char>(text_.front());
        text_.remove_prefix(2);
        return value;
    }

    std::uint64_t named() {
        constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
        const auto size = std::min(text_.find_first_not_of(letters), text_.size());
        const auto value = register_value(registers_, text_.substr(0, size));
        if (!value) throw HumanError("unknown register");
        text_.remove_prefix(size);
        return *value;
    }

    std::uint64_t number() {
        if (text_.empty()) throw HumanError("unexpected end of expression");
        if (text_.front() < '0' || text_.front() > '9')
            throw HumanError(fmt::format("invalid char '{}' in expression", text_.front()));
        int base = 10;
        auto digits = text_;
        if (digits.starts_with("0x") || digits.starts_with("0X")) {
            base = 16;
            digits.remove_prefix(2);
        } else if (digits.front() == '0') {
            base = 8;
        }
        std::uint64_t value = 0;
        const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
        if (read.ec == std::errc::result_out_of_range) throw HumanError("number too large");
        if (read.ec != std::errc()) throw HumanError("invalid number");
        digits.remove_prefix(static_cast<std::size_t>(read.ptr - digits.data()));
        text_ = digits;
        return value;
    }

    std::string_view text_;
    const Registers& registers_;
    unsigned depth_ = 0;
};

}  // namespace

std::optional<std::uint64_t> register_value(const Registers& registers, std::string_view name) {
    if (name == "pc") return linear_pc(registers);
    for (const General& one : general) {
        if (name == one.name) return registers.*one.value;
        const bool has_half = one.name.front() == 'r' && one.name[1] > '9';
        if (has_half && name.starts_with('e') && name.substr(1) == one.name.substr(1))
            return registers.*one.value & low_half;
    }
    const auto dot = std::min(name.find('.'), name.size());
    const auto part = name.substr(std::min(dot + 1, name.size()));
    const auto table = name.substr(0, dot);
    if (table == "gdt") return part_of(part, registers.gdt.base, registers.gdt.limit);
    if (table == "idt") return part_of(part, registers.idt.base, registers.idt.limit);
    const auto* const found = std::ranges::find(segments, table, &NamedSegment::name);
    if (found == std::end(segments)) return std::nullopt;
    const Segment& segment = registers.*found->value;
    if (dot == name.size()) return segment.selector;
    return part_of(part, segment.base, segment.limit);
}

std::uint64_t evaluate(std::string_view text, const Registers& registers) { return Reader(text, registers).all(); }

}  // namespace asyncvm::monitor
