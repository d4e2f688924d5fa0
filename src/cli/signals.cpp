#include "cli/signals.hpp"

#include <csignal>
#include <utility>

namespace asyncvm::cli {

std::string_view signal_name(int number) noexcept {
    switch (number) {
        case SIGINT:
            return "SIGINT";
        case SIGTERM:
            return "SIGTERM";
        case SIGHUP:
            return "SIGHUP";
        case SIGQUIT:
            return "SIGQUIT";
        default:
            return "a signal";
    }
}

Signals::Signals(asio::io_context& loop, std::function<void(int)> on_signal)
    : set_(loop, SIGINT, SIGTERM, SIGQUIT), on_signal_(std::move(on_signal)) {
    set_.add(SIGUSR1);
    struct sigaction hangup {};
    const bool ignored = ::sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler == SIG_IGN;
    if (!ignored) set_.add(SIGHUP);
    wait();
}

void Signals::wait() {
    set_.async_wait([this](std::error_code error, int number) {
        // The object may be gone when its wait has been cancelled.
        if (error) return;
        wait();
        on_signal_(number);
    });
}

void ignore_broken_pipes() noexcept { std::signal(SIGPIPE, SIG_IGN); }

}  // namespace asyncvm::cli
