/// The signals that the program handles.
#pragma once

#include <asyncvm/asio.hpp>

#include <asio/posix/stream_descriptor.hpp>

#include <chrono>
#include <functional>
#include <string_view>

namespace asyncvm::cli {

/// "SIGINT" for 2.
[[nodiscard]] std::string_view signal_name(int number) noexcept;

/// A second signal asks for the end at once only when this has passed since the first: GNU timeout, and shells, send each
/// signal to the process and again to its group.
inline constexpr std::chrono::milliseconds impatience{500};

/// The first thing that main() does. A peer that leaves and a limit for a file's size must be errors of the write, not the
/// end of the program; SIGUSR1 waits until Signals are there.
void tame_signals() noexcept;

/// Keeps some memory for the case that there is none: it is released then, and Signals tell of it. Without Signals only what
/// does not fit even then fails, with std::bad_alloc.
void reserve_memory();

/// What Signals say of the lack of memory.
inline constexpr int out_of_memory = 0;

/// Handles SIGUSR1, SIGQUIT and every signal that would end the program, faults and SIGKILL aside, while it lives. SIGINT,
/// SIGTERM and SIGQUIT also if they were ignored at the start; the others stay ignored then: nohup ignores SIGHUP.
///
/// Signals are noted where they come and `on_signal` is called for them on `loop`, and once with out_of_memory. A signal
/// that ends the program does not depend on the loop: if the program does not run the guest yet, or if it is not the first
/// and `impatience` has passed, the handler puts back what must be put back and ends the program with 128 plus its number.
class Signals {
public:
    /// One object at a time. Throws std::system_error without a descriptor for it.
    Signals(asio::io_context& loop, std::function<void(int)> on_signal);
    ~Signals();
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

    /// From now on the first signal that ends the program is left to the loop, which runs from now on.
    void loop_runs() noexcept;

private:
    void wait();

    asio::posix::stream_descriptor woken_;
    std::function<void(int)> on_signal_;
};

}  // namespace asyncvm::cli
