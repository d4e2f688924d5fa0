/// Names for the numbers that KVM reports.
#pragma once

#include <asyncvm/exit.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace asyncvm {

/// `KVM_EXIT_IO`; for a number without a name `KVM exit reason 99`.
[[nodiscard]] std::string exit_reason_name(std::uint32_t reason);

/// `KVM_INTERNAL_ERROR_EMULATION`; for a number without a name `KVM internal error 99`.
[[nodiscard]] std::string internal_error_name(std::uint32_t suberror);

/// `KVM_SYSTEM_EVENT_RESET`; for a number without a name `KVM system event 99`.
[[nodiscard]] std::string system_event_name(std::uint32_t type);

/// What the hardware says about a failed entry or an unknown exit: `invalid guest state (VMX exit 33)`, or the number.
[[nodiscard]] std::string hardware_reason(std::uint64_t reason);

/// One sentence about a failure, without the place: `KVM cannot emulate an instruction`.
[[nodiscard]] std::string describe_failure(const Failure& failure);

[[nodiscard]] std::string_view failure_kind_name(Failure::Kind kind) noexcept;

}  // namespace asyncvm
