#include "loader/size_option.hpp"

#include "text/number.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/guest_memory.hpp>

#include <fmt/format.h>

#include <limits>

namespace asyncvm {
namespace {

unsigned shift_of(char unit) noexcept {
    switch (unit) {
        case 'k':
        case 'K':
            return 10;
        case 'm':
        case 'M':
            return 20;
        case 'g':
        case 'G':
            return 30;
        default:
            return 0;
    }
}

std::uint64_t parse(std::string_view text, std::string_view option, const char* what, const char* examples) {
    std::string_view digits = text;
    const unsigned shift = digits.empty() ? 0 : shift_of(digits.back());
    if (shift != 0) digits.remove_suffix(1);
    const auto value = parse_number(digits);
    if (!value)
        throw Error(ErrorKind::usage, fmt::format("{} {}: that is no {} (examples: {})", option, text, what, examples));
    if (*value > std::numeric_limits<std::uint64_t>::max() >> shift) {
        throw Error(ErrorKind::usage, fmt::format("{} {}: that is more than 64 bits can hold", option, text));
    }
    return *value << shift;
}

}  // namespace

std::uint64_t parse_size(std::string_view text, std::string_view option) {
    return parse(text, option, "size", "64K, 128M, 2G, 0x100000");
}

std::uint64_t parse_address(std::string_view text, std::string_view option) {
    return parse(text, option, "address", "0x10000, 65536, 1M");
}

void check_memory_size(std::uint64_t bytes, std::string_view option) {
    if (bytes < smallest_memory || bytes > largest_memory) {
        throw Error(ErrorKind::usage,
                    fmt::format("{} {}: a guest has between 64K and 512G of memory (example: 128M)", option, bytes));
    }
    if (bytes % GuestMemory::page_size != 0) {
        throw Error(ErrorKind::usage, fmt::format("{} {}: it must be a multiple of 4096 (example: 128M; here {} would do)",
                                                  option, bytes, bytes / GuestMemory::page_size * GuestMemory::page_size));
    }
}

}  // namespace asyncvm
