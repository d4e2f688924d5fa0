/// KVM without a kernel: a vCPU's shared page as KVM_RUN would leave it, exit after exit. What is left of the time is ours.
#pragma once

#include <asyncvm/accelerator.hpp>

#include <cstdint>
#include <memory>

namespace asyncvm::bench {

/// The kinds of accesses, numbered as in guests/exits.S.
enum class Kind : unsigned { out, in, mmio_write, mmio_read };

/// An accelerator whose vCPU does what guests/exits.S would: a mark, `count` accesses (ports: `port`), a mark, HLT.
[[nodiscard]] std::unique_ptr<Accelerator> make_fake_accelerator(Kind kind, std::uint32_t count, std::uint16_t port);

}  // namespace asyncvm::bench
