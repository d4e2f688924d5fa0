#include <asyncvm/sleep.hpp>
#include <socket/accept.hpp>

#include <sys/socket.h>
#include <cerrno>
#include <chrono>

namespace asyncvm {

awaitable<UniqueFd> accept_client(Watched& listener) {
    constexpr auto retry = std::chrono::milliseconds(500);
    for (;;) {
        co_await wait_for(listener, Watched::wait_read);
        if (!listener.is_open()) co_return UniqueFd();
        UniqueFd fd(::accept4(listener.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (fd.valid()) co_return fd;
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) co_await sleep_for(retry);
    }
}

}  // namespace asyncvm
