/// The accelerator's part of a machine, made while devices are opened.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/event.hpp>
#include <asyncvm/guest_memory.hpp>

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace asyncvm {

/// Everything between a loaded guest and its first instruction: the accelerator, its vCPUs, their registers, its view of the
/// memory. With KVM nearly all of that is time in the kernel. Whoever comes first does it: the thread that begin() starts,
/// or who needs the result while that thread has not got a processor yet.
class Preparation {
public:
    struct Made {
        std::unique_ptr<Accelerator> accelerator;
        std::vector<std::unique_ptr<Cpu>> cpus;
    };

    /// `memory` must outlive the object, and does not change from begin() on. `done` is notified when there is a result.
    Preparation(AcceleratorMaker make, unsigned cpus, const GuestMemory& memory, std::shared_ptr<Event> done);
    Preparation(const Preparation&) = delete;
    Preparation& operator=(const Preparation&) = delete;
    /// Waits for the thread.
    ~Preparation();

    /// What a vCPU starts with; before begin(). Throws std::out_of_range.
    void set_registers(unsigned cpu, const Registers& registers);

    /// Starts the thread. Once.
    void begin();
    [[nodiscard]] bool begun() const noexcept { return begun_.load(); }

    /// Prepares here and now, unless that has begun.
    void help() noexcept;
    [[nodiscard]] bool done() const noexcept { return done_.load(std::memory_order_acquire) != 0; }

    /// Waits for the result; once. Throws what making it threw.
    [[nodiscard]] Made take();

private:
    void prepare();

    AcceleratorMaker make_;
    std::vector<std::optional<Registers>> registers_;
    const GuestMemory& memory_;
    const std::shared_ptr<Event> event_;
    std::atomic<bool> begun_ = false;
    std::atomic<int> done_ = 0;
    Made made_;
    std::exception_ptr failure_;
    std::thread thread_;
};

}  // namespace asyncvm
