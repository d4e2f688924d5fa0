/// What a machine has done: its exits, and the time that they took in the guest and in the devices.
#pragma once

#include <asyncvm/bus.hpp>
#include <asyncvm/chardev.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm {

/// How long something took, each of the `count` times. The percentiles are exact to 7 percent; 0 where the count is.
struct TimesTaken {
    std::uint64_t count = 0;
    std::chrono::nanoseconds total{};
    std::chrono::nanoseconds p50{};
    std::chrono::nanoseconds p99{};
};

/// One range of a bus. An access counts where its first byte is, and once, however many devices share it.
struct PlaceStatistics {
    Space space = Space::port;
    /// The whole address space where `device` is empty. Of a range that the guest moves: where it is, or was last; its size
    /// is 0 if the guest has put it nowhere yet.
    AddressRange range;
    std::string device;        ///< empty: all accesses of this address space that began where no device is
    std::uint64_t reads = 0;   ///< exits; one of a string instruction may carry many elements
    std::uint64_t writes = 0;  ///< exits
    std::uint64_t bytes = 0;   ///< read and written, without the posted ones
    std::uint64_t posted = 0;  ///< writes that arrived without an exit of their own
    TimesTaken in_guest;       ///< in the guest, until the exit
    TimesTaken in_device;      ///< from the exit to the answer, waiting included
    TimesTaken waiting;        ///< from the first suspension to the answer; accesses that were answered at once don't count
};

/// What one vCPU has done, and is doing.
struct CpuStatistics {
    enum class State : std::uint8_t {
        not_started,
        in_guest,
        in_device,  ///< an access is being answered on the vCPU's thread
        waiting,    ///< an access is suspended
        stopped,    ///< neither in the guest nor in an access: the machine is paused, or a debugger holds the vCPU
        ended,
    };
    State state = State::not_started;
    std::chrono::nanoseconds since{};     ///< how long it has been in this state; 0 when ended
    std::optional<std::size_t> place{};   ///< in_device and waiting: the index in Statistics::places
    std::chrono::nanoseconds in_guest{};  ///< sums of what has ended; an access that is under way is not in them
    std::chrono::nanoseconds in_device{};
    std::chrono::nanoseconds waiting{};
    std::uint64_t wake_ups = 0;  ///< how often its thread went on with a suspended access
};

/// An address without a device, and how often the guest has found none there.
struct UnclaimedStatistics {
    Space space = Space::port;
    UnclaimedAddress at;
};

struct ExitCount {
    std::string_view kind;  ///< "port", "memory", "halted", "shut-down", "interrupted", "debug", "system-event", "failure"
    std::uint64_t count = 0;
};

/// Counters of several threads, read one after another: of about the same moment, not of exactly one.
struct Statistics {
    std::chrono::nanoseconds elapsed{};  ///< from the start of the run to its end, or until now
    std::vector<ExitCount> exits;        ///< every kind, in a fixed order
    std::vector<PlaceStatistics> places;
    std::vector<UnclaimedStatistics> unclaimed;  ///< Bus::unclaimed_addresses() of both buses
    std::vector<CpuStatistics> cpus;
    std::uint64_t loop_wake_ups = 0;  ///< how often the device loop's thread has slept, whoever it works for
};

/// A chardev's line in the table.
struct StreamStatistics {
    std::string name;         ///< "serial0"
    std::string description;  ///< Chardev::description()
    Chardev::Traffic traffic;
};

/// Several lines of plain text: tables whose cells have no blanks in them, "-" for none. docs/statistics.md
[[nodiscard]] std::string format_statistics(const Statistics& statistics, std::span<const StreamStatistics> streams = {});

}  // namespace asyncvm
