/// Rings for the threads of a machine, and one more thread that takes what they have written down.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "trace/record.hpp"
#include "trace/record_ring.hpp"

namespace asyncvm::trace {

/// CLOCK_BOOTTIME in nanoseconds: it goes on while a machine is paused, and while the host sleeps.
[[nodiscard]] std::uint64_t now() noexcept;

/// Gets the records of all sources, on a thread of its own.
class Consumer {
public:
    virtual ~Consumer() = default;
    /// A source that is new: `cpu` is the vCPU's number, or Recording::no_cpu. They are numbered from 0.
    virtual void add_source(unsigned cpu) = 0;
    /// Records of a source, in their order; between sources they are in the order of their times.
    virtual void take(unsigned source, std::span<const Record> records) = 0;
    /// There was something, and there is no more for now.
    virtual void flush() = 0;
    /// Nothing more will come. `dropped` records had no room; each is in a record of Kind::lost of its source.
    virtual void finish(std::uint64_t dropped) = 0;
};

/// What an observer that writes much down needs. Threads push into rings of their own, without locks or system calls; a ring
/// that is full drops records and counts them.
class Recording {
public:
    static constexpr unsigned no_cpu = ~0U;
    /// Bytes of all vCPUs' rings together, at most: as far as there are records.
    static constexpr std::size_t memory = 16 << 20;

    /// Starts the thread. Before it looks for records it calls `prepare`, which may push some. Throws Error(host).
    Recording(std::unique_ptr<Consumer> consumer, unsigned cpus, std::function<void()> prepare = {});
    /// finish()
    ~Recording();
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

    /// On the thread of vCPU `cpu`, which may be another one after some time. False: it was dropped.
    bool push(unsigned cpu, const Record& record) noexcept {
        Lane& lane = *cpus_[cpu];
        if (here_.recording != id_ || here_.lane != &lane) [[unlikely]]
            here_ = {id_, &lane};
        return push(lane, record);
    }
    /// On any thread: into the ring of its vCPU, if it has pushed as one, or else into one that is made for it.
    bool push(const Record& record) noexcept;

    /// Takes what is there, and ends the thread. Records that come later vanish. Once.
    void finish() noexcept;
    /// Records that had no room. Any thread.
    [[nodiscard]] std::uint64_t dropped() const noexcept;

private:
    struct Lane {
        Lane(std::size_t capacity, unsigned of) : ring(capacity), cpu(of) {}
        RecordRing ring;
        const unsigned cpu;
        std::thread::id thread{};  ///< of one that is no vCPU's
        std::mutex shared{};       ///< of the lane that threads without one share
    };
    struct Here {
        std::uint64_t recording = 0;
        Lane* lane = nullptr;
    };
    bool push(Lane& lane, const Record& record) noexcept {
        bool kept = false;
        if (lane.ring.push(record, kept)) [[unlikely]]
            hurry();
        return kept;
    }
    [[nodiscard]] Lane* lane_of_this_thread() noexcept;
    void hurry() noexcept;
    void work();
    bool take_all(std::uint64_t before);
    void tell_lost_at_end();
    [[nodiscard]] std::vector<Lane*> lanes();

    static thread_local Here here_;
    static constexpr std::size_t most_other_threads = 32;

    const std::uint64_t id_;  ///< of all recordings of the process
    const std::unique_ptr<Consumer> consumer_;
    const std::function<void()> prepare_;
    std::vector<std::unique_ptr<Lane>> cpus_;
    Lane shared_;               ///< for threads beyond most_other_threads, and without memory
    std::vector<Lane*> known_;  ///< those that the consumer knows, by their number; the thread's
    mutable std::mutex mutex_;
    std::vector<std::unique_ptr<Lane>> others_;
    std::condition_variable wake_;
    bool hurry_ = false;
    bool ending_ = false;
    std::thread thread_;
};

}  // namespace asyncvm::trace
