/// The signals that the program handles.
#pragma once

#include <asyncvm/asio.hpp>

#include <asio/signal_set.hpp>

#include <functional>
#include <string_view>

namespace asyncvm::cli {

/// "SIGINT" for 2.
[[nodiscard]] std::string_view signal_name(int number) noexcept;

/// Listens for SIGINT, SIGTERM, SIGHUP (unless it was ignored at the start, as nohup has it), SIGQUIT and SIGUSR1 while it
/// lives.
class Signals {
public:
    /// `on_signal` is called on `loop` for each signal that comes.
    Signals(asio::io_context& loop, std::function<void(int)> on_signal);
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

private:
    void wait();

    asio::signal_set set_;
    std::function<void(int)> on_signal_;
};

/// A peer that leaves must be an error of the write, not the end of the program.
void ignore_broken_pipes() noexcept;

}  // namespace asyncvm::cli
