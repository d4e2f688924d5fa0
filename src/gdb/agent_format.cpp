#include "gdb/agent_format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace asyncvm::gdb {

namespace {

using Flaw = std::string;

/// The character that a backslash and this letter stand for; 0: none.
constexpr char escaped(char letter) {
    constexpr std::string_view letters = "\\abefnrtv\"";
    constexpr std::string_view characters = "\\\a\b\x1b\f\n\r\t\v\"";
    const auto at = letters.find(letter);
    return at == letters.npos ? '\0' : characters[at];
}

/// A letter as a person can read it in a message.
std::string shown(char letter) {
    const auto byte = static_cast<unsigned char>(letter);
    return byte > 0x20 && byte < 0x7f ? std::string(1, letter) : fmt::format("\\x{:02x}", byte);
}

/// With its escapes undone.
std::string unescaped(std::string_view typed, Flaw& flaw) {
    std::string text;
    for (std::size_t i = 0; i < typed.size(); ++i) {
        char c = typed[i];
        if (c == '\0') {
            flaw = "there is a NUL inside of it";
        } else if (c == '\\') {
            ++i;
            const char letter = i < typed.size() ? typed[i] : '\0';
            c = escaped(letter);
            if (c == '\0') flaw = fmt::format("\\{} is no escape that gdb knows", shown(letter));
        }
        text += c;
    }
    return text;
}

/// The digits in front, as a number; too large a one is AgentFormat::widest + 1.
std::size_t take_digits(std::string_view& text) {
    std::size_t number = 0;
    while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
        number = std::min<std::size_t>(10 * number + static_cast<std::size_t>(text[0] - '0'), AgentFormat::widest + 1);
        text.remove_prefix(1);
    }
    return number;
}

void append_utf8(std::string& to, std::uint32_t code) {
    if (code < 0x80) {
        to += static_cast<char>(code);
        return;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    constexpr std::array<std::uint32_t, 4> first{0, 0xc0, 0xe0, 0xf0};
    to += static_cast<char>(first[static_cast<std::size_t>(more)] | code >> (6 * more));
    for (int i = more - 1; i >= 0; --i) to += static_cast<char>(0x80 | (code >> (6 * i) & 0x3f));
}

constexpr bool is_integer(char letter) { return std::string_view("diuoxX").find(letter) != std::string_view::npos; }

}  // namespace

AgentFormat::AgentFormat(std::string_view typed) {
    const std::string text = unescaped(typed, flaw_);
    if (flaw_.empty()) parse(text);
    if (!flaw_.empty()) pieces_.clear();
}

void AgentFormat::parse(std::string_view text) {
    Piece piece;
    while (!text.empty() && flaw_.empty()) {
        const char c = text[0];
        text.remove_prefix(1);
        if (c != '%') {
            piece.text += c;
        } else if (text.starts_with('%')) {
            piece.text += c;
            text.remove_prefix(1);
        } else {
            piece.conversion = parse_conversion(text);
            pieces_.push_back(std::exchange(piece, {}));
        }
    }
    pieces_.push_back(std::move(piece));
}

AgentFormat::Conversion AgentFormat::parse_conversion(std::string_view& text) {
    Conversion how;
    const std::string_view all = text;
    for (; !text.empty(); text.remove_prefix(1)) {
        bool* const flag = text[0] == '-'   ? &how.left
                           : text[0] == '0' ? &how.zeros
                           : text[0] == '+' ? &how.plus
                           : text[0] == ' ' ? &how.space
                           : text[0] == '#' ? &how.alternate
                                            : nullptr;
        if (flag == nullptr) break;
        *flag = true;
    }
    how.width = take_digits(text);
    if (text.starts_with('.')) {
        text.remove_prefix(1);
        how.precision = take_digits(text);
    }
    char modifier = 0;
    if (!text.empty() && std::string_view("hlzLHD").find(text[0]) != std::string_view::npos) {
        modifier = text[0];
        text.remove_prefix(1);
        if (modifier == 'h') how.length = Conversion::Length::half;
        if (modifier == 'l' || modifier == 'z') how.length = Conversion::Length::word;
        if (modifier == 'l' && text.starts_with('l')) {
            how.length = Conversion::Length::longest;
            text.remove_prefix(1);
        }
    }
    if (text.empty()) {
        flaw_ = fmt::format("it ends inside of %{}", all);
        return how;
    }
    how.letter = text[0];
    text.remove_prefix(1);
    const auto name = fmt::format("%{}{}", all.substr(0, all.size() - text.size() - 1), shown(how.letter));
    if (std::string_view("efgEG").find(how.letter) != std::string_view::npos) {
        flaw_ = fmt::format("{} is floating point, which has no bytecode", name);
    } else if (!is_integer(how.letter) && std::string_view("csp").find(how.letter) == std::string_view::npos) {
        flaw_ = fmt::format("{} is no conversion that gdb knows", name);
    } else if (how.width > widest || how.precision.value_or(0) > widest) {
        flaw_ = fmt::format("{} is wider than {} characters", name, widest);
    } else {
        refuse_modifiers(how, modifier);
        if (!flaw_.empty()) flaw_ = name + flaw_;
    }
    return how;
}

/// What gdb itself does not take, and wide strings, whose characters have another size in each guest.
void AgentFormat::refuse_modifiers(const Conversion& how, char modifier) {
    const bool sign = how.plus || how.space;
    const bool any_length = modifier != 0;
    bool wrong = modifier == 'L' || modifier == 'H' || modifier == 'D';
    switch (how.letter) {
        case 'u':
            wrong = wrong || how.alternate || sign;
            break;
        case 'o':
        case 'x':
        case 'X':
            wrong = wrong || sign;
            break;
        case 'c':
            wrong = wrong || (any_length && (modifier != 'l' || how.length != Conversion::Length::word)) || how.precision ||
                    how.zeros || sign;
            break;
        case 'p':
            wrong = wrong || any_length || how.precision || how.alternate || how.zeros || sign;
            break;
        case 's':
            if (modifier == 'l') flaw_ = " is a wide string, which only gdb prints";
            wrong = wrong || any_length || how.zeros || sign;
            break;
        default:
            break;
    }
    if (wrong && flaw_.empty()) flaw_ = " has flags that do not go together";
}

std::size_t AgentFormat::count() const noexcept {
    return static_cast<std::size_t>(
        std::ranges::count_if(pieces_, [](const Piece& piece) { return piece.conversion.has_value(); }));
}

std::string AgentFormat::number(const Conversion& how, std::uint64_t value, unsigned word_bits) {
    const unsigned bits = how.length == Conversion::Length::half      ? 16
                          : how.length == Conversion::Length::usual   ? 32
                          : how.length == Conversion::Length::longest ? 64
                                                                      : word_bits;
    const bool with_sign = how.letter == 'd' || how.letter == 'i';
    value = value << (64 - bits) >> (64 - bits);
    const bool negative = with_sign && (value >> (bits - 1) & 1) != 0;
    if (negative) value = (~value + 1) << (64 - bits) >> (64 - bits);
    std::string digits = how.letter == 'x'   ? fmt::format("{:x}", value)
                         : how.letter == 'X' ? fmt::format("{:X}", value)
                         : how.letter == 'o' ? fmt::format("{:o}", value)
                                             : fmt::format("{}", value);
    if (value == 0 && how.precision == 0u) digits.clear();
    if (how.precision && digits.size() < *how.precision) digits.insert(0, *how.precision - digits.size(), '0');
    std::string front = negative ? "-" : how.plus ? "+" : how.space ? " " : "";
    if (how.alternate && how.letter == 'o' && !digits.starts_with('0')) front = "0";
    if (how.alternate && value != 0 && (how.letter == 'x' || how.letter == 'X')) front = how.letter == 'x' ? "0x" : "0X";
    const std::size_t size = front.size() + digits.size();
    if (how.zeros && !how.left && !how.precision && size < how.width) front.append(how.width - size, '0');
    return front + digits;
}

/// Up to its NUL or the precision: beyond that nothing is read.
std::string AgentFormat::text_at(const Conversion& how, std::uint64_t address, AgentContext& context) {
    if (address == 0) return std::string("(null)").substr(0, how.precision.value_or(widest));
    const std::size_t most = how.precision.value_or(longest_text);
    std::string text;
    while (text.size() < most) {
        std::byte byte{};
        if (!context.read(address + text.size(), std::span(&byte, 1))) {
            return text + fmt::format("<error: Cannot access memory at address {:#x}>", address + text.size());
        }
        if (byte == std::byte{0}) return text;
        text += static_cast<char>(byte);
    }
    return how.precision ? text : text + "...";
}

void AgentFormat::print(std::span<const std::uint64_t> values, AgentContext& context, std::string& to) const {
    const unsigned word_bits = context.word_bits();
    for (const Piece& piece : pieces_) {
        to += piece.text;
        if (!piece.conversion) continue;
        const Conversion& how = *piece.conversion;
        const std::uint64_t value = values.front();
        values = values.subspan(1);
        std::string text;
        if (how.letter == 's') {
            text = text_at(how, word_bits == 64 ? value : value & 0xffff'ffff, context);
        } else if (how.letter == 'c' && how.length == Conversion::Length::word) {
            append_utf8(text, std::min<std::uint32_t>(static_cast<std::uint32_t>(value), 0x10ffff));
        } else if (how.letter == 'c') {
            text = static_cast<char>(value);
        } else if (how.letter == 'p') {
            Conversion pointer = how;
            pointer.letter = 'x';
            pointer.alternate = true;
            pointer.length = Conversion::Length::word;
            text = number(pointer, value, word_bits);
            if (text == "0") text = "(nil)";
        } else {
            text = number(how, value, word_bits);
        }
        const std::size_t padding = how.width > text.size() ? how.width - text.size() : 0;
        to.append(how.left ? 0 : padding, ' ').append(text).append(how.left ? padding : 0, ' ');
    }
}

}  // namespace asyncvm::gdb
