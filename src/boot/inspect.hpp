/// A plan in words: what `asyncvm inspect` prints. Pure.
#pragma once

#include <string>

#include "boot/plan.hpp"

namespace asyncvm::boot {

/// Lines that end with a newline: what the file is, the facts of its header, how it starts, the options that it takes, and
/// what lies where, by address. `packing` is as in Unpacked.
[[nodiscard]] std::string inspect_plan(const std::string& name, const std::string& packing, const Plan& plan);

}  // namespace asyncvm::boot
