#include <asyncvm/sleep.hpp>

namespace asyncvm {

awaitable<void> sleep_until(std::chrono::steady_clock::time_point time) {
    if (time <= std::chrono::steady_clock::now()) co_return;
    asio::steady_timer timer(co_await asio::this_coro::executor, time);
    co_await timer.async_wait(use_awaitable);
}

awaitable<void> sleep_for(std::chrono::steady_clock::duration duration) {
    const auto now = std::chrono::steady_clock::now();
    constexpr auto last = std::chrono::steady_clock::time_point::max();
    // The sum of the two may be past the last time there is.
    return sleep_until(duration > last - now ? last : now + duration);
}

}  // namespace asyncvm
