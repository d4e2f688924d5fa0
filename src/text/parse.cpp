#include "text/parse.hpp"

#include <charconv>

namespace asyncvm {

std::optional<std::uint64_t> parse_number(std::string_view text) noexcept {
    int base = 10;
    if (text.size() > 2 && text[0] == '0') {
        switch (text[1]) {
            case 'x':
            case 'X':
                base = 16;
                break;
            case 'b':
            case 'B':
                base = 2;
                break;
            case 'o':
            case 'O':
                base = 8;
                break;
            default:
                break;
        }
        if (base != 10) text.remove_prefix(2);
    }
    std::uint64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value, base);
    if (error != std::errc{} || stop != end) return std::nullopt;
    return value;
}

unsigned take_unit(std::string_view& text) noexcept {
    unsigned power = 0;
    switch (text.empty() ? '\0' : text.back()) {
        case 'k':
        case 'K':
            power = 10;
            break;
        case 'm':
        case 'M':
            power = 20;
            break;
        case 'g':
        case 'G':
            power = 30;
            break;
        default:
            return 0;
    }
    text.remove_suffix(1);
    return power;
}

std::vector<std::string> split_at_commas(std::string_view text) {
    std::vector<std::string> parts(1);
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != ',') {
            parts.back() += text[i];
        } else if (i + 1 < text.size() && text[i + 1] == ',') {
            parts.back() += ',';
            ++i;
        } else {
            parts.emplace_back();
        }
    }
    return parts;
}

}  // namespace asyncvm
