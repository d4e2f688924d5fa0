#include "probe/watchdog.hpp"

#include <pthread.h>

#include <ctime>

namespace asyncvm::probe {

namespace {

std::chrono::nanoseconds read_clock(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace

Watchdog::Watchdog(Cpu& cpu) : cpu_(cpu) {
    pthread_getcpuclockid(pthread_self(), &cpu_clock_);
    thread_ = std::thread([this] { watch(); });
}

Watchdog::~Watchdog() {
    {
        const std::scoped_lock lock(mutex_);
        ended_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

void Watchdog::watch() {
    using namespace std::chrono_literals;
    const auto computed_before = read_clock(cpu_clock_);
    const auto start = std::chrono::steady_clock::now();
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, 20ms, [this] { return ended_; })) {
        const bool busy = read_clock(cpu_clock_) - computed_before > patience;
        if (!busy && std::chrono::steady_clock::now() - start < patience_waiting) continue;
        busy_ = busy_ || busy;
        expired_ = true;
        cpu_.kick();
    }
}

}  // namespace asyncvm::probe
