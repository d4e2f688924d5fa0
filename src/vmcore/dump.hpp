/// Writes a guest's core file.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/machine.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "vmcore/layout.hpp"

namespace asyncvm::vmcore {

struct Request {
    std::string path;
    std::optional<Range> only{};  ///< of physical memory; not given: all
    bool paging = true;           ///< the file has memory at the linear addresses that vCPU `cpu` sees, too
    unsigned cpu = 0;
    int signal = 0;  ///< Thread::signal of that vCPU
};

struct Progress {
    std::uint64_t done = 0;   ///< bytes of guest memory that were looked at
    std::uint64_t total = 0;  ///< bytes
};

/// What was written.
struct Dumped {
    std::uint64_t total = 0;  ///< bytes of guest memory
    bool cut = false;         ///< the guest maps more than the file tells
};

/// A piece at a time, on the device loop, where other work comes between. Nothing of the guest moves meanwhile: the caller
/// holds a pause, or the run is over. `told` hears of each piece; if it throws, there is no file. `machine` outlives it.
/// Throws Error(host) for a file that can't be written, and Error(usage) where there is no memory in Request::only.
[[nodiscard]] awaitable<Dumped> dump(Machine& machine, Request request, std::function<void(Progress)> told);

}  // namespace asyncvm::vmcore
