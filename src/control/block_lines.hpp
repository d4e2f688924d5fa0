/// The human monitor's lines about disks, and what they are answered.
#pragma once

#include "control/block_commands.hpp"
#include "control/json.hpp"
#include "monitor/human_error.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::control {

using monitor::HumanError;

/// Between blanks. Pure, as all but the texts about disks.
[[nodiscard]] std::vector<std::string_view> words_of(std::string_view line);

/// Bytes: "3M", "1.5G", "512b"; a number alone is in MiB, as in QEMU. Nothing: it is no size, or too large.
[[nodiscard]] std::optional<std::uint64_t> parse_human_size(std::string_view text);

/// The arguments of block_resize in "block_resize DEVICE SIZE". Throws HumanError.
[[nodiscard]] Json resize_arguments(const std::vector<std::string_view>& words);
/// The arguments of blockdev-change-medium in "change DEVICE [-f] FILE [FORMAT [MODE]]". Throws HumanError.
[[nodiscard]] Json change_arguments(const std::vector<std::string_view>& words);

/// The answer to "info block [-v] [DEVICE]". Device loop, as the next.
[[nodiscard]] std::string disks_as_text(const std::vector<Disk>& disks, const std::vector<std::string_view>& words);
/// The answer to "info blockstats".
[[nodiscard]] std::string counts_as_text(const std::vector<Disk>& disks);

}  // namespace asyncvm::control
