/// From what happened to the program's exit code.
#pragma once

#include <asyncvm/error.hpp>
#include <asyncvm/outcome.hpp>

namespace asyncvm::cli {

/// For every outcome but `stopped`, whose code depends on the reason for the stop.
[[nodiscard]] constexpr int exit_status(const Outcome& outcome) noexcept {
    switch (outcome.kind) {
        case Outcome::Kind::halted:
        case Outcome::Kind::powered_off:
            return exit_code::success;
        case Outcome::Kind::exited:
            return outcome.guest_code & 0xff;
        case Outcome::Kind::triple_fault:
            return exit_code::triple_fault;
        case Outcome::Kind::reset:
            return exit_code::reset;
        case Outcome::Kind::crashed:
            return exit_code::crashed;
        case Outcome::Kind::differed:
            return exit_code::differed;
        case Outcome::Kind::failed:
            return outcome.lacks_memory ? exit_code::host : exit_code::kvm_failure;
        case Outcome::Kind::stopped:
            break;
    }
    return exit_code::kvm_failure;
}

[[nodiscard]] constexpr int exit_status(ErrorKind kind) noexcept {
    switch (kind) {
        case ErrorKind::usage:
            return exit_code::usage;
        case ErrorKind::guest_image:
            return exit_code::guest_image;
        case ErrorKind::host:
            break;
    }
    return exit_code::host;
}

}  // namespace asyncvm::cli
