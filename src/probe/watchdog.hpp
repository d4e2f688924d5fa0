/// Takes a vCPU out of a guest that gives no exit: some KVMs loop inside KVM_RUN over instructions that they can't run.
#pragma once

#include <asyncvm/accelerator.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace asyncvm::probe {

/// From its construction until its destruction, on the thread that runs `cpu`. Kicks when that thread has computed for
/// `patience`, or, so that a busy host is not taken for a broken one, only when it has waited for much longer.
class Watchdog {
public:
    static constexpr std::chrono::milliseconds patience{200};
    static constexpr std::chrono::milliseconds patience_waiting{3000};

    explicit Watchdog(Cpu& cpu);
    ~Watchdog();
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;

    [[nodiscard]] bool expired() const noexcept { return expired_.load(); }
    /// Whether the thread was computing when the time was over.
    [[nodiscard]] bool was_busy() const noexcept { return busy_.load(); }

private:
    void watch();

    Cpu& cpu_;
    clockid_t cpu_clock_{};
    std::mutex mutex_;
    std::condition_variable wake_;
    bool ended_ = false;
    std::atomic<bool> expired_ = false;
    std::atomic<bool> busy_ = false;
    std::thread thread_;
};

}  // namespace asyncvm::probe
