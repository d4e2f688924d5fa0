/// A vCPU's registers as text.
#pragma once

#include <asyncvm/registers.hpp>

#include <string>

namespace asyncvm {

/// Several lines, each with two spaces in front: RIP, flags and general registers as wide as the mode has them, segments,
/// descriptor tables, control registers with the names of their bits.
[[nodiscard]] std::string format_registers(const Registers& registers);

}  // namespace asyncvm
