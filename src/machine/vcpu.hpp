/// A vCPU: a thread with an io_context of its own, whose one coroutine enters the guest and awaits the buses.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/asio.hpp>
#include <asyncvm/event.hpp>
#include <asyncvm/machine.hpp>
#include <asyncvm/outcome.hpp>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <semaphore>
#include <thread>

#include "bus/io_bus.hpp"
#include "machine/observers.hpp"
#include "report/exit_history.hpp"

namespace asyncvm {

class CoalescedWrites;
struct CrashReporter;

/// What a vCPU is doing, as seen from another thread.
struct VcpuPlace {
    enum class Kind : std::uint8_t {
        guest,   ///< in the accelerator, or on its way there
        access,  ///< a device has its access to `address`
        posted,  ///< it delivers posted writes
    };
    Kind kind = Kind::guest;
    Space space = Space::port;
    std::uint64_t address = 0;
};

class Vcpu final : private AccessSource {
public:
    /// What a vCPU has of its machine. All of it outlives the vCPU.
    struct Surroundings {
        const GuestMemory& memory;
        IoBus& ports;
        IoBus& mmio;
        CoalescedWrites* coalesced;  ///< null where the accelerator collects no writes
        const Observers& observers;  ///< not changed after the first start()
        /// On the vCPU's thread, as the last thing it does: how it ended. No outcome: it has halted, or was stopped.
        std::function<void(std::optional<Outcome>)> on_end;
        /// On the vCPU's thread: it has come to rest in a pause.
        std::function<void()> on_rest;
        /// MachineConfig::on_stop
        std::function<StopAction(unsigned, const Exit&, Cpu&)> on_stop{};
    };

    Vcpu(unsigned index, std::unique_ptr<Cpu> cpu, Surroundings surroundings);
    /// The thread must have been joined, or never started.
    ~Vcpu();
    Vcpu(const Vcpu&) = delete;
    Vcpu& operator=(const Vcpu&) = delete;

    /// Before start(), or after join().
    [[nodiscard]] Cpu& cpu() noexcept { return *cpu_; }

    /// Before the first start(): what reports tell of the start and, with `state`, reset_state() goes back to. Throws
    /// Error(host).
    void remember(bool state);

    /// Starts the thread; again after join(). Throws Error(host) if the host has no thread left.
    void start();

    /// Any thread, any state: the vCPU makes no further access and its thread ends soon, whether it is in the guest, between
    /// two exits or suspended in a device.
    void stop() noexcept;

    /// Any thread, after stop(): leaves an access that does not react to its cancellation behind. The thread then ends.
    void abandon() noexcept;

    /// Any thread, any state: the vCPU completes its exit and rests before the next instruction, until resume().
    void pause() noexcept;
    void resume() noexcept;
    /// Any thread: it rests before the next instruction, until release(), whatever pauses there are. A vCPU that runs must
    /// have been paused.
    void hold() noexcept { requests_.fetch_or(hold_request); }
    /// Also what on_stop() has held.
    void release() noexcept;
    /// A device says how the guest has crashed. If it does so on this vCPU's thread, in an access: takes `outcome`, on_stop()
    /// is asked when the access has been answered, and the return is true.
    [[nodiscard]] bool take_crash(Outcome& outcome);
    /// Whether it rests, or has no thread. Any thread.
    [[nodiscard]] bool at_rest() const noexcept { return !alive_.load() || (!entered_.load() && resting_.load()); }

    /// In a pause, at rest: enters the guest on this thread, for `limit` at most. True: the guest has stopped where
    /// on_stop() holds it. Otherwise, if it has left its place at all, its own thread goes on from there when it is
    /// released.
    [[nodiscard]] bool enter_here(std::chrono::nanoseconds limit);

    /// In a pause: cancels the access that keeps the vCPU from its rest. The guest's instruction is lost; registers must be
    /// set before the vCPU goes on. Any thread.
    void cancel_access() noexcept;

    /// Has `work` run on the vCPU's thread between two exits, or while it is suspended. False, and `work` is not run: it has
    /// no thread. Any thread. `work` must not throw.
    [[nodiscard]] bool call(std::function<void(Cpu&)> work);

    /// In a pause, after remember(true): as it was then. On the vCPU's thread. Throws as Cpu::restore_state().
    void reset_state() {
        outcome_.reset();
        reported_.reset();
        drop_access();
        cpu_->restore_state(started_as_);
    }

    /// The report about a guest that runs or has halted. In call().
    [[nodiscard]] std::string report();

    /// What the thread has used of processors; 0 without a thread. Device loop.
    [[nodiscard]] std::chrono::nanoseconds processor_time() const noexcept;

    /// Any thread.
    [[nodiscard]] VcpuPlace place() const noexcept;
    [[nodiscard]] unsigned index() const noexcept { return index_; }
    /// Whether the thread has work left. Any thread.
    [[nodiscard]] bool alive() const noexcept { return alive_.load(); }
    /// It sleeps in HLT for good, though its thread is still in the accelerator. Before stop(). Any thread.
    void has_halted() noexcept { halted_.store(true); }
    /// Whether HLT has ended it. Any thread, once it is not alive().
    [[nodiscard]] bool halted() const noexcept { return halted_.load(); }

    /// After join(): an access that has been cancelled, and had no time to see that, ends.
    void end_cancelled_access();

    /// Whether the coroutine of an access was left behind, after join().
    [[nodiscard]] bool has_abandoned_access() const noexcept { return suspended_; }

    void join();
    /// False: the thread has not ended within `limit`.
    [[nodiscard]] bool join_within(std::chrono::milliseconds limit);
    /// Gives the thread up, once: it may end at any time, or never. The object must live for ever then.
    void leave_behind();
    [[nodiscard]] bool left_behind() const noexcept { return left_behind_; }

private:
    enum Request : unsigned {
        stop_request = 1,
        pause_request = 2,
        call_request = 4,
        cancel_request = 8,
        hold_request = 16,
        stopped_request = 32,
        crash_request = 64
    };
    /// What a vCPU rests for.
    static constexpr unsigned rest_requests = pause_request | hold_request | stopped_request;

    [[nodiscard]] awaitable<void> run();
    [[nodiscard]] awaitable<bool> run_until_cancelled();
    [[nodiscard]] IoBus::DeviceAccess next() override;
    template <bool observed>
    [[nodiscard]] IoBus::DeviceAccess enter();
    template <bool observed>
    void note_exit();
    void drop_access() noexcept;
    void suspended() noexcept;
    [[nodiscard]] awaitable<void> rest();
    [[nodiscard]] bool has_crashed();
    [[nodiscard]] StopAction ask_what_becomes();
    [[nodiscard]] std::optional<Outcome> how_it_ends();
    void serve_calls();
    void thread_main();
    void serve();
    [[nodiscard]] std::optional<Outcome> describe_end(const Exit& exit);
    [[nodiscard]] CrashReporter reporter() const;
    /// The builtin, because an unoptimised std::atomic stores with a locked instruction whatever the order.
    void be_at(std::uint64_t place) noexcept { __atomic_store_n(&place_, place, __ATOMIC_RELAXED); }
    [[nodiscard]] bool asked_for(unsigned requests) const noexcept { return (requests_.load() & requests) != 0; }

    const unsigned index_;
    Surroundings surroundings_;
    std::unique_ptr<Cpu> cpu_;
    Registers started_with_;
    CpuState started_as_;
    ExitHistory history_;
    IoBus::Hint port_hint_;
    IoBus::Hint mmio_hint_;
    Exit exit_ = Interrupted{};
    IoBus* bus_ = nullptr;                ///< of the access that exit_ is, until it is answered; null: it is none
    Transaction* transaction_ = nullptr;  ///< that access
    bool observed_ = false;               ///< there are observers
    bool waits_ = false;                  ///< Observer::suspended() was the last call
    std::atomic<unsigned> requests_ = 0;  ///< Request
    std::uint64_t place_ = 0;             ///< VcpuPlace in one word; see place()
    std::atomic<bool> alive_ = false;
    std::atomic<bool> halted_ = false;
    std::atomic<bool> resting_ = false;
    std::atomic<bool> entered_ = false;  ///< exit_ comes from enter_here(), and nobody has looked at it
    Event wake_;                         ///< requests_ has changed while the vCPU rests
    std::mutex cpu_mutex_;               ///< of a vCPU that rests: held by enter_here() and by what runs in call()
    std::mutex calls_mutex_;
    std::deque<std::function<void(Cpu&)>> calls_;
    std::optional<Outcome> outcome_;    ///< vCPU thread
    std::optional<Outcome> reported_;   ///< of crash_request; vCPU thread
    bool suspended_ = false;            ///< the coroutine has begun and not ended; vCPU thread
    asio::cancellation_signal cancel_;  ///< vCPU thread
    std::binary_semaphore ended_{0};
    asio::io_context context_{1};
    std::thread thread_;
    bool left_behind_ = false;
};

}  // namespace asyncvm
