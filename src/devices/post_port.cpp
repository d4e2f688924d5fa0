#include "devices/post_port.hpp"

#include <fmt/format.h>

#include <utility>

namespace asyncvm {

PostPort::PostPort(Log trace) : trace_(std::move(trace)) {}

awaitable<void> PostPort::write(const Access& access) {
    const auto before = code_.exchange(access.data, std::memory_order_relaxed);
    if (trace_ && before != access.data) trace_(fmt::format("POST code {:#04x}", access.data));
    co_return;
}

awaitable<void> PostPort::read(Access& access) {
    access.data = code();
    co_return;
}

}  // namespace asyncvm
