/// Exits in words; bytes and registers as text.
#pragma once

#include "report/exit_history.hpp"

#include <asyncvm/access.hpp>
#include <asyncvm/registers.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace asyncvm {

/// The name of the device at an address, empty where there is none.
using DeviceName = std::function<std::string(Space, std::uint64_t)>;

/// `out 0x3f8 <- 0x48 'H' (uart16550) at rip 0x10003`. Without `device_name` nothing stands in parentheses.
[[nodiscard]] std::string describe(const ExitHistory::Record& record, const DeviceName& device_name);

/// `0f 58 c1`.
[[nodiscard]] std::string hex_bytes(std::span<const std::byte> bytes);

/// Several lines, each with two spaces in front: RIP, flags and general registers as wide as the mode has them, segments,
/// descriptor tables, control registers with the names of their bits.
[[nodiscard]] std::string format_registers(const Registers& registers);

}  // namespace asyncvm
