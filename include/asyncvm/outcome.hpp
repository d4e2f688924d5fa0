/// How a run ended, and the exit code of the program for it.
#pragma once

#include <asyncvm/cpp20.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace asyncvm {

struct Outcome {
    enum class Kind {
        halted,        ///< every vCPU has executed HLT, and nothing can wake one: summary says which of the two it is
        powered_off,   ///< the guest asked its platform to power off
        reset,         ///< the guest asked for a reset, and nobody restarts it
        exited,        ///< the guest wrote to an exit port; guest_code is what it said
        triple_fault,  ///< KVM_EXIT_SHUTDOWN
        failed,        ///< the accelerator can't go on: see the report
        crashed,       ///< the guest reported its own crash (pvpanic, KVM_SYSTEM_EVENT_CRASH)
        differed,      ///< the guest did not do what a recording has, and was to (--device replay, strict)
        stopped,       ///< Machine::stop(): a signal, a person, an embedder
    };
    Kind kind = Kind::halted;
    int guest_code = 0;         ///< exited: 0 to 255
    std::string summary;        ///< one line: what happened, where
    std::string report;         ///< several lines for a person: registers, code, last exits; empty where nothing went wrong
    bool lacks_memory = false;  ///< failed: the host has refused memory
    std::optional<unsigned> cpu{};  ///< the vCPU whose last exit it was; not given: no exit was
};

/// The program's exit codes: docs/exit-codes.md. All of our own are even: QEMU's (value << 1) | 1, which the exit port
/// gives by default, is always odd.
namespace exit_code {
inline constexpr int success = 0;
inline constexpr int usage = 64;        ///< a wrong option
inline constexpr int guest_image = 66;  ///< the guest's file can't be read or does not fit
inline constexpr int kvm_failure = 70;  ///< KVM can't run this guest
inline constexpr int host = 72;         ///< the host lacks something: /dev/kvm, memory, a socket's address
inline constexpr int triple_fault = 80;
inline constexpr int reset = 82;         ///< the guest asked for a reset
inline constexpr int crashed = 84;       ///< the guest reported its own crash
inline constexpr int halted = 86;        ///< all vCPUs have halted for good, with --on-halt fail
inline constexpr int refused = 88;       ///< asyncvm ctl: the machine has refused the command
inline constexpr int differed = 90;      ///< the guest differs from a recording that is played back strictly
inline constexpr int signal_base = 128;  ///< plus the signal's number: 130 for Ctrl-C, 143 for SIGTERM
}  // namespace exit_code

}  // namespace asyncvm
