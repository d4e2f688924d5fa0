/// Why a guest stopped and needs its monitor. Every exit that KVM can report is one of these.
#pragma once

#include <asyncvm/access.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

namespace asyncvm {

enum class Direction : std::uint8_t { read, write };

/// A transfer between the guest and a bus: `count` elements of `size` bytes, all for the same address.
struct Transaction {
    Space space = Space::port;
    Direction direction = Direction::read;
    std::uint8_t size = 1;  ///< bytes of one element: 1, 2, 4 at ports, 1 to 8 in memory
    std::uint64_t address = 0;
    std::span<std::byte> data{};  ///< size * count bytes, in the accelerator's memory, valid until the next Cpu::run()
};

struct PortAccess : Transaction {};
struct MmioAccess : Transaction {};

/// HLT, with no interrupt controller that could wake the vCPU.
struct Halted {};

/// A triple fault, or what the architecture treats alike.
struct ShutDown {};

/// run() came back without the guest having asked for anything: kick(), or a signal. Run it again, or stop.
struct Interrupted {};

/// A breakpoint or a single step of guest debugging.
struct Debug {
    std::uint64_t rip = 0;
    std::uint64_t dr6 = 0;
    std::uint64_t dr7 = 0;
    std::uint32_t exception = 0;
};

/// The guest asked its platform for something (KVM_EXIT_SYSTEM_EVENT).
struct SystemEvent {
    enum class Kind : std::uint8_t { shutdown, reset, crash, other };
    Kind kind = Kind::other;
    std::uint32_t type = 0;  ///< KVM_SYSTEM_EVENT_*
};

/// The accelerator can't go on with this guest.
struct Failure {
    enum class Kind : std::uint8_t {
        entry,       ///< KVM_EXIT_FAIL_ENTRY: the processor refused the guest's state; code is the hardware's reason
        emulation,   ///< KVM_INTERNAL_ERROR_EMULATION: an instruction that the accelerator can't run
        internal,    ///< another KVM_EXIT_INTERNAL_ERROR; code is the suberror
        unknown,     ///< KVM_EXIT_UNKNOWN; code is the hardware's reason
        unhandled,   ///< an exit reason that needs a feature which was not asked for; code is the exit reason
        host_error,  ///< KVM_RUN itself failed; code is errno
        refused,     ///< the guest needs what the accelerator does not have; reason says what
    };
    Kind kind = Kind::unknown;
    std::uint64_t code = 0;
    std::uint8_t instruction_size = 0;  ///< 0: not known
    std::array<std::uint8_t, 15> instruction{};
    std::string_view reason{};  ///< a literal, lower-case, without a full stop
};

using Exit = std::variant<PortAccess, MmioAccess, Halted, ShutDown, Interrupted, Debug, SystemEvent, Failure>;

}  // namespace asyncvm
