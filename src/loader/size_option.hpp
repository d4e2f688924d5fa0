/// Sizes and addresses on the command line: --memory, --load, --entry and others.
#pragma once

#include <cstdint>
#include <string_view>

namespace asyncvm {

/// The limits of --memory, in bytes.
inline constexpr std::uint64_t smallest_memory = 64 << 10;
inline constexpr std::uint64_t largest_memory = std::uint64_t{512} << 30;

/// `128M`, `64K`, `2G`, `4096`, `0x10000`: a number as parse_number() takes it and perhaps a unit (powers of 1024; capital
/// or small letter). In bytes. `option` names the option in the message. Throws Error(usage).
[[nodiscard]] std::uint64_t parse_size(std::string_view text, std::string_view option);

/// `0x10000`, `65536`, `64K`, `1M`. Throws Error(usage).
[[nodiscard]] std::uint64_t parse_address(std::string_view text, std::string_view option);

/// Throws Error(usage) unless `bytes` is a multiple of 4096 between the limits.
void check_memory_size(std::uint64_t bytes, std::string_view option = "--memory");

}  // namespace asyncvm
