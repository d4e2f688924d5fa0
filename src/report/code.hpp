/// The code around RIP, a line an instruction.
#pragma once

#include "report/code_context.hpp"

#include <string>

namespace asyncvm {

/// Lines of two spaces or an arrow at RIP, an address, the bytes and the instruction; or one line that says why there is
/// nothing to read. Instructions before RIP start at the guest's entry or at an exit where one is near; otherwise at a
/// guess.
[[nodiscard]] std::string format_code(const CrashContext& crash, const CodeContext& context);

/// Why nothing can be read at the context: `the page tables do not map it (level 4 entry not present)`. Empty where
/// something can.
[[nodiscard]] std::string why_unreadable(const CodeContext& context);

}  // namespace asyncvm
