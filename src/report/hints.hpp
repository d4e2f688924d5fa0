/// What a death often means, and what to do about it.
#pragma once

#include "report/scene.hpp"

#include <string>
#include <vector>

namespace asyncvm {

/// A sentence each, without a full stop; the most likely first, often none.
[[nodiscard]] std::vector<std::string> hints_about(const Death& death, const Scene& scene);

/// The bytes of the instruction that a failure is about: as KVM reports them, else what is at RIP. Whatever follows the
/// instruction may be in them.
[[nodiscard]] std::span<const std::byte> failed_instruction(const Failure& failure, const Scene& scene) noexcept;

}  // namespace asyncvm
