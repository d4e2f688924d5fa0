/// Waiting for a time.
#pragma once

#include <asyncvm/asio.hpp>

#include <chrono>

namespace asyncvm {

/// Suspends the calling coroutine until `time`, on its own executor; not at all if that has come already, where a timer of
/// Asio's makes four system calls. Throws std::system_error(operation_aborted) if it is cancelled.
[[nodiscard]] awaitable<void> sleep_until(std::chrono::steady_clock::time_point time);

/// The same, from now on.
[[nodiscard]] awaitable<void> sleep_for(std::chrono::steady_clock::duration duration);

}  // namespace asyncvm
