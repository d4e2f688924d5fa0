/// Which registers a description of the processor has. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "gdb/register_file.hpp"

namespace asyncvm::gdb {

/// In the order of their numbers, which is gdb's own for those that it knows: general registers, x87, SSE, AVX, then what is
/// of systems.
[[nodiscard]] std::vector<RegisterEntry> register_table(Width width, bool avx);

/// x87 and SSE, then, with `avx`, AVX; `wide`: sixteen of each instead of eight.
void add_fpu_registers(std::vector<RegisterEntry>& table, bool wide, bool avx);

struct NamedMsr {
    std::string_view name;
    std::uint32_t index;
};
/// Those that have names for gdb.
[[nodiscard]] std::span<const NamedMsr> named_msrs() noexcept;

}  // namespace asyncvm::gdb
