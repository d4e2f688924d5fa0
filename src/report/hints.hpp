/// What a crash often means, and what to do about it.
#pragma once

#include "report/code_context.hpp"

#include <string>
#include <vector>

namespace asyncvm {

/// A sentence each, without a full stop; the most likely first, often none.
[[nodiscard]] std::vector<std::string> hints_about(const CrashContext& crash, const CodeContext& context);

/// The bytes of the instruction that a failure is about: as KVM reports them, else what is at RIP. Whatever follows the
/// instruction may be in them.
[[nodiscard]] std::span<const std::byte> failed_instruction(const Failure& failure, const CodeContext& context) noexcept;

}  // namespace asyncvm
