/// What the shared page of a vCPU says about its exit. Pure.
#pragma once

#include <asyncvm/exit.hpp>

#include <linux/kvm.h>

namespace asyncvm::kvm {

/// `run` is followed in memory by the data of port I/O, as the kernel maps it. The spans in the result point there.
[[nodiscard]] Exit decode_exit(kvm_run& run) noexcept;

}  // namespace asyncvm::kvm
