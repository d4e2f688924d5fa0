/// A guest that was given less memory than it takes for granted.
#pragma once

#include "report/code_context.hpp"

#include <string>

namespace asyncvm {

/// A sentence without a full stop if most of the vCPU's last exits were accesses right above the RAM, where neither memory
/// nor a device is: kernels that don't ask how much there is use what they were written for. Empty otherwise.
[[nodiscard]] std::string about_absent_memory(const CrashContext& guest);

}  // namespace asyncvm
