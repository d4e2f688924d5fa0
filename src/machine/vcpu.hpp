/// A vCPU: a thread with an io_context of its own, whose one coroutine enters the guest and awaits the buses.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/asio.hpp>
#include <asyncvm/bus.hpp>
#include <asyncvm/outcome.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "report/exit_history.hpp"
#include "stats/cpu_recorder.hpp"

namespace asyncvm {

class CoalescedWrites;

class Vcpu {
public:
    /// What a vCPU has of its machine. All of it outlives the vCPU.
    struct Surroundings {
        const GuestMemory& memory;
        Bus& ports;
        Bus& mmio;
        CoalescedWrites* coalesced;  ///< null where the accelerator collects no writes
        /// On the vCPU's thread, once, as the last thing it does: how it ended. No outcome: it has halted, or was stopped.
        std::function<void(std::optional<Outcome>)> on_end;
    };

    Vcpu(unsigned index, std::unique_ptr<Cpu> cpu, Surroundings surroundings);
    /// The thread must have been joined, or never started.
    ~Vcpu();
    Vcpu(const Vcpu&) = delete;
    Vcpu& operator=(const Vcpu&) = delete;

    /// Before start(), or after join().
    [[nodiscard]] Cpu& cpu() noexcept { return *cpu_; }

    /// Before start(): tells `recorder` of each exit. It must outlive the thread.
    void record_on(stats::CpuRecorder& recorder) noexcept { recorder_ = &recorder; }

    /// Throws Error(host) if the host has no thread left.
    void start();

    /// Any thread, any state: the vCPU makes no further access and its thread ends soon, whether it is in the guest, between
    /// two exits or suspended in a device.
    void stop() noexcept;

    /// Any thread, after stop(): leaves an access that does not react to its cancellation behind. The thread then ends.
    void abandon() noexcept;

    void join();

private:
    [[nodiscard]] awaitable<void> run();
    void thread_main();
    void serve();
    [[nodiscard]] std::optional<Outcome> describe_end(const Exit& exit);

    const unsigned index_;
    Surroundings surroundings_;
    std::unique_ptr<Cpu> cpu_;
    Registers started_with_;
    ExitHistory history_;
    Bus::Hint port_hint_;
    Bus::Hint mmio_hint_;
    stats::CpuRecorder* recorder_ = nullptr;  ///< null: nobody wants to know, and no clock is read
    std::atomic<bool> stopping_ = false;
    std::optional<Outcome> outcome_;    ///< vCPU thread
    asio::cancellation_signal cancel_;  ///< vCPU thread
    asio::io_context context_{1};
    std::thread thread_;
};

}  // namespace asyncvm
