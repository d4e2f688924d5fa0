/// The accelerator's part of a machine, made while devices are opened.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/event.hpp>
#include <asyncvm/guest_memory.hpp>

#include <atomic>
#include <exception>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace asyncvm {

/// Everything that a guest needs of the accelerator before its first instruction: the accelerator itself, the vCPUs, their
/// registers, their view of the memory. With KVM nearly all of that is time in the kernel. The accelerator and the vCPUs,
/// which need nothing of the guest, are made by the thread that begin() starts, or by the caller that needs the result while
/// that thread has not got a processor yet. The caller that waits for the result does the rest. Everything but that thread's
/// work happens on the device loop's thread.
class Preparation {
public:
    struct Made {
        std::unique_ptr<Accelerator> accelerator;
        std::vector<std::unique_ptr<Cpu>> cpus;
    };

    /// `memory` must outlive the object. `changed` is notified when there is a result, and before that when help() may find
    /// something to do.
    Preparation(AcceleratorMaker make, unsigned cpus, const GuestMemory& memory, std::shared_ptr<Event> changed);
    Preparation(const Preparation&) = delete;
    Preparation& operator=(const Preparation&) = delete;
    /// Waits for the thread.
    ~Preparation();

    /// What a vCPU starts with. Throws std::out_of_range.
    void set_registers(unsigned cpu, const Registers& registers);

    /// Starts the thread, once.
    void begin();

    /// Does here and now what no thread has begun yet: all of it, or what goes beside the rest if it can be begun. `memory`
    /// does not get other regions from now on.
    void help() noexcept;
    [[nodiscard]] bool done() const noexcept { return done_.load(std::memory_order_acquire) != 0; }

    /// Waits for the result; once. Throws what making it threw, each time.
    [[nodiscard]] Made take();

    /// Whether the object can go without a wait. On a busy host its thread may not have had its first turn when another has
    /// done its work.
    [[nodiscard]] bool idle() const noexcept { return !thread_.joinable() || thread_ended_.load(); }

private:
    void make() noexcept;
    void map() noexcept;

    AcceleratorMaker make_;
    std::vector<std::optional<Registers>> registers_;
    const GuestMemory& memory_;
    const std::shared_ptr<Event> changed_;
    std::atomic<bool> begun_ = false;
    std::atomic<bool> mappable_ = false;  ///< there is an accelerator
    std::atomic<int> done_ = 0;           ///< there are vCPUs as well, or a failure
    Made made_;
    std::exception_ptr failure_;
    bool mapped_ = false;  ///< or it failed
    std::exception_ptr mapping_failure_;
    std::atomic<bool> thread_ended_ = false;
    std::thread thread_;
};

}  // namespace asyncvm
