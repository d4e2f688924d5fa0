#include "os/put_back.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <utility>

namespace asyncvm {
namespace {

// Constant-initialised and never destroyed: a signal may come at any time.
struct Place {
    enum State { free, taken, armed, done };
    std::atomic<State> state = free;
    PutBack::Record record;
};
constexpr std::size_t most = 32;
std::array<Place, most> places;

/// Returns whether the caller has to act: one caller only.
bool claim(Place& place) noexcept {
    auto expected = Place::armed;
    return place.state.compare_exchange_strong(expected, Place::done);
}

struct Watch {
    int signal;
    bool fault;  ///< watched also if it has a handler, which gets it afterwards
    struct sigaction before {};
    bool installed = false;
};

std::array<Watch, 22> watches{{{SIGSEGV, true},    {SIGBUS, true},     {SIGILL, true},   {SIGFPE, true},   {SIGABRT, true},
                               {SIGTRAP, true},    {SIGSYS, true},     {SIGTERM, false}, {SIGINT, false},  {SIGHUP, false},
                               {SIGQUIT, false},   {SIGXCPU, false},   {SIGXFSZ, false}, {SIGUSR1, false}, {SIGUSR2, false},
                               {SIGALRM, false},   {SIGVTALRM, false}, {SIGPROF, false}, {SIGPIPE, false}, {SIGIO, false},
                               {SIGSTKFLT, false}, {SIGPWR, false}}};

std::mutex mutex;
unsigned users = 0;

std::atomic<FaultFilter> fault_filter = nullptr;

void on_signal(int signal, siginfo_t* info, void* context) {
    const int error = errno;
    const FaultFilter filter = fault_filter;
    if (filter != nullptr && filter(signal, info, context)) {
        errno = error;
        return;
    }
    put_back_everything();
    bool again = true;
    for (const auto& watch : watches) {
        if (watch.signal != signal) continue;
        (void)sigaction(signal, &watch.before, nullptr);
        // The instruction of a fault is executed again when this returns: its details come with the second signal.
        again = !watch.fault || info->si_code <= 0 || signal == SIGTRAP || signal == SIGSYS;
    }
    if (again) (void)raise(signal);
    errno = error;
}

void watch_signals() {
    for (auto& watch : watches) {
        if (sigaction(watch.signal, nullptr, &watch.before) != 0) continue;
        const bool by_default = (watch.before.sa_flags & SA_SIGINFO) == 0 && watch.before.sa_handler == SIG_DFL;
        if (!by_default && !watch.fault) continue;
        struct sigaction ours {};
        ours.sa_sigaction = on_signal;
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&ours.sa_mask);
        watch.installed = sigaction(watch.signal, &ours, nullptr) == 0;
    }
}

void unwatch_signals() noexcept {
    for (auto& watch : watches) {
        if (!watch.installed) continue;
        watch.installed = false;
        struct sigaction now {};
        if (sigaction(watch.signal, nullptr, &now) != 0) continue;
        // Whoever took the signal over since then keeps it.
        if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_signal)
            (void)sigaction(watch.signal, &watch.before, nullptr);
    }
}

}  // namespace

void PutBack::arm() {
    static const int registered = std::atexit([] { put_back_everything(); });
    (void)registered;
    const std::lock_guard lock(mutex);
    if (users++ == 0) watch_signals();
    for (place_ = 0; place_ < most; ++place_) {
        auto& place = places[place_];
        auto expected = Place::free;
        if (!place.state.compare_exchange_strong(expected, Place::taken)) continue;
        place.record = record_;
        place.state = Place::armed;
        return;
    }
}

PutBack::~PutBack() {
    put_back();
    if (place_ < most) places[place_].state = Place::free;
    const std::lock_guard lock(mutex);
    if (--users == 0) unwatch_signals();
}

void PutBack::put_back() noexcept {
    if (std::exchange(done_, true)) return;
    if (place_ == most || claim(places[place_])) record_.act();
}

void set_fault_filter(FaultFilter filter) noexcept { fault_filter = filter; }

void put_back_everything() noexcept {
    for (auto& place : places) {
        if (claim(place)) place.record.act();
    }
}

}  // namespace asyncvm
