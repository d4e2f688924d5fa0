#include <asyncvm/sleep.hpp>

namespace asyncvm {

awaitable<void> sleep_until(std::chrono::steady_clock::time_point time) {
    if (time <= std::chrono::steady_clock::now()) co_return;
    asio::steady_timer timer(co_await asio::this_coro::executor, time);
    co_await timer.async_wait(use_awaitable);
}

awaitable<void> sleep_for(std::chrono::steady_clock::duration duration) {
    return sleep_until(std::chrono::steady_clock::now() + duration);
}

}  // namespace asyncvm
