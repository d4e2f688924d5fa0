/// Which registers a description of the processor has. Pure.
#pragma once

#include <vector>

#include "gdb/register_file.hpp"

namespace asyncvm::gdb {

/// In the order of their numbers, which is gdb's own for those that it knows: general registers, x87, SSE, then what is of
/// systems.
[[nodiscard]] std::vector<RegisterEntry> register_table(Width width);

}  // namespace asyncvm::gdb
