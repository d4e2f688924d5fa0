/// The machines of this benchmark that run guests/exits.S.
#pragma once

#include "fake.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace asyncvm::bench {

struct Timing {
    std::chrono::nanoseconds elapsed{};    ///< from the guest's first mark to its last one
    std::chrono::nanoseconds processor{};  ///< what the process has run meanwhile
    std::uint64_t accesses = 0;            ///< what the devices have seen; 0 where they do not count
};

/// What the guest is given; the same for all vCPUs but the port.
struct ExitsGuest {
    std::string image;
    Kind kind = Kind::out;
    std::uint32_t count = 0;  ///< accesses, a multiple of 16
};

/// `cpus` vCPUs, each with a device of its own, or all with the same. All of these throw std::exception.
[[nodiscard]] Timing time_exits(const ExitsGuest& guest, unsigned cpus, bool shared);

/// The same with one vCPU and without KVM.
[[nodiscard]] Timing time_fake_exits(const ExitsGuest& guest);

/// OUT to a device on the device loop. `wait`: "nothing", "timer", "asio-timer" or "socket".
[[nodiscard]] Timing time_device_loop(const ExitsGuest& guest, const std::string& wait);

/// OUT to a device in another process, which `command` starts.
[[nodiscard]] Timing time_remote(const ExitsGuest& guest, const std::string& command);

/// OUT to a device of the catalogue ("counter", "debugcon", "uart16550", "post") whose output goes nowhere.
[[nodiscard]] Timing time_writes(const ExitsGuest& guest, const std::string& device);

}  // namespace asyncvm::bench
