/// What asyncvm --probe prints.
#pragma once

#include <span>
#include <string>

#include "probe/feature.hpp"
#include "probe/host.hpp"

namespace asyncvm::probe {

/// For people: the host, the table, what that means for guests, and what to do. `unusable` is why /dev/kvm can't be used at
/// all; there are no findings then.
[[nodiscard]] std::string format_table(const Host& host, std::span<const Finding> findings, const std::string& unusable);

/// For scripts: a line `NAME=yes` or `NAME=no WHY` for each feature; the first is `kvm=yes` or `kvm=no WHY`.
[[nodiscard]] std::string format_lines(std::span<const Finding> findings, const std::string& unusable);

}  // namespace asyncvm::probe
