/// What a guest that hangs may be waiting for.
#pragma once

#include "report/code_context.hpp"

#include <string>
#include <vector>

namespace asyncvm {

/// Like hints_about(), for a guest that was looked at while it ran (Interrupted): what it polls that is not there, code that
/// wants a BIOS, HLT without an interrupt.
[[nodiscard]] std::vector<std::string> hints_about_running(const CrashContext& guest, const CodeContext& context);

}  // namespace asyncvm
