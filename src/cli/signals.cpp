#include "cli/signals.hpp"

#include "cli/console.hpp"
#include "os/put_back.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <new>
#include <system_error>
#include <utility>

namespace asyncvm::cli {

namespace {

// What the handler uses: nothing that it could meet half changed.
std::atomic<std::uint64_t> noted = 0;     ///< a bit for each signal that the loop has not seen
std::atomic<std::int64_t> first_end = 0;  ///< when the first signal came that ends the program, in ms; 0: none
std::atomic<bool> loop_is_running = false;
std::atomic<int> wake_fd = -1;
std::atomic<char*> reserve = nullptr;
std::atomic<bool> memory_is_short = false;

constexpr std::uint64_t bit_of(int number) noexcept { return std::uint64_t{1} << (number - 1); }

constexpr std::pair<int, std::string_view> signal_names[] = {
    {SIGHUP, "SIGHUP"},   {SIGINT, "SIGINT"},   {SIGQUIT, "SIGQUIT"},    {SIGALRM, "SIGALRM"},     {SIGTERM, "SIGTERM"},
    {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"}, {SIGXCPU, "SIGXCPU"},    {SIGVTALRM, "SIGVTALRM"}, {SIGPROF, "SIGPROF"},
    {SIGIO, "SIGIO"},     {SIGPWR, "SIGPWR"},   {SIGSTKFLT, "SIGSTKFLT"}};

/// Whole: of times that are cut to milliseconds a difference can be one too many.
std::int64_t nanoseconds_now() noexcept {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

[[noreturn]] void end_at_once(int number, std::string_view how) noexcept {
    put_back_everything();
    print_at_once({"asyncvm: ", how, signal_name(number), "\n"});
    ::_exit(128 + number);
}

void wake() noexcept {
    const std::uint64_t one = 1;
    if (const int fd = wake_fd.load(); fd >= 0) static_cast<void>(!::write(fd, &one, sizeof one));
}

void note(int number) noexcept {
    noted.fetch_or(bit_of(number));
    wake();
}

/// Called by operator new, on any thread, which then tries again.
void release_reserve() {
    std::set_new_handler(nullptr);
    delete[] reserve.exchange(nullptr);
    memory_is_short = true;
    wake();
}

void on_any(int number) {
    const int error = errno;
    note(number);
    errno = error;
}

void on_end(int number) {
    if (!loop_is_running.load()) end_at_once(number, "stopped by ");
    const int error = errno;
    const auto now = nanoseconds_now();
    std::int64_t first = 0;
    if (first_end.compare_exchange_strong(first, now)) {
        note(number);
    } else if (now - first >= std::chrono::nanoseconds(impatience).count()) {
        end_at_once(number, "ended at once by ");
    }
    errno = error;
}

void handle(int number, void (*handler)(int)) noexcept {
    struct sigaction action {};
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    // One at a time: a handler that ends the program is not met by another one.
    sigfillset(&action.sa_mask);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&action.sa_mask, fault);
    static_cast<void>(::sigaction(number, &action, nullptr));
}

bool is_default(int number) noexcept {
    struct sigaction present {};
    return ::sigaction(number, nullptr, &present) == 0 && (present.sa_flags & SA_SIGINFO) == 0 &&
           present.sa_handler == SIG_DFL;
}

/// Calls `act` with each signal that ends the program in order. The accelerator kicks with SIGRTMIN.
template <typename Act>
void for_each_end(Act act) {
    for (const int number :
         {SIGINT, SIGTERM, SIGHUP, SIGXCPU, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGPWR, SIGIO, SIGSTKFLT}) {
        act(number);
    }
    for (int number = SIGRTMIN + 1; number <= SIGRTMAX; ++number) act(number);
}

}  // namespace

std::string_view signal_name(int number) noexcept {
    for (const auto& [known, name] : signal_names) {
        if (known == number) return name;
    }
    return "a real-time signal";
}

void tame_signals() noexcept {
    for (const int number : {SIGPIPE, SIGXFSZ}) std::signal(number, SIG_IGN);
    if (is_default(SIGUSR1)) handle(SIGUSR1, on_any);
}

void reserve_memory() {
    constexpr std::size_t enough_to_end = 1 << 20;
    reserve = new char[enough_to_end];
    std::set_new_handler(release_reserve);
}

Signals::Signals(asio::io_context& loop, std::function<void(int)> on_signal)
    : woken_(loop), on_signal_(std::move(on_signal)) {
    const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) throw std::system_error(errno, std::generic_category(), "no descriptor for the program's signals");
    woken_.assign(fd);
    wake_fd = fd;
    for_each_end([](int number) {
        if (number == SIGINT || number == SIGTERM || is_default(number)) handle(number, on_end);
    });
    handle(SIGQUIT, on_any);
    // What was noted before.
    if (noted.load() != 0 || memory_is_short.load()) wake();
    wait();
}

Signals::~Signals() {
    for_each_end([](int number) {
        struct sigaction present {};
        if (::sigaction(number, nullptr, &present) == 0 && present.sa_handler == on_end) std::signal(number, SIG_DFL);
    });
    wake_fd = -1;
    loop_is_running = false;
}

void Signals::loop_runs() noexcept { loop_is_running = true; }

void Signals::wait() {
    woken_.async_wait(asio::posix::stream_descriptor::wait_read, [this](std::error_code error) {
        // The object may be gone when its wait has been cancelled.
        if (error) return;
        std::uint64_t times = 0;
        static_cast<void>(!::read(woken_.native_handle(), &times, sizeof times));
        wait();
        if (memory_is_short.exchange(false)) on_signal_(out_of_memory);
        const auto all = noted.exchange(0);
        for (int number = 1; number <= 64; ++number) {
            if ((all & bit_of(number)) != 0) on_signal_(number);
        }
    });
}

}  // namespace asyncvm::cli
