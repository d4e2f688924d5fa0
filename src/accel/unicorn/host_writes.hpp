/// What this process writes to the guest's memory, as far as a vCPU has yet to hear of it.
#pragma once

#include <asyncvm/guest_memory.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

namespace asyncvm::unicorn {

/// An emulator runs translated code: where a device, a debugger or a loader writes over code, its translation has to go.
/// Writes are noted on any thread; each vCPU takes its own list when it can drop translations.
class HostWrites {
public:
    struct Range {
        std::uint64_t address;
        std::uint64_t size;
    };

    /// Any thread. Ranges that continue the last one become one with it; of too many, all memory is the range.
    void note(std::uint64_t address, std::uint64_t size) noexcept {
        constexpr std::size_t most = 256;
        const std::lock_guard lock(mutex_);
        if (!ranges_.empty() && ranges_.back().address + ranges_.back().size == address) {
            ranges_.back().size += size;
        } else {
            if (ranges_.size() == most) ranges_.assign(1, everything);
            if (ranges_.empty() || ranges_.front().size != everything.size) ranges_.push_back({address, size});
        }
        pending_.store(true, std::memory_order_release);
    }

    /// Whether there is something to take(). Any thread.
    [[nodiscard]] bool pending() const noexcept { return pending_.load(std::memory_order_acquire); }

    [[nodiscard]] std::vector<Range> take() {
        const std::lock_guard lock(mutex_);
        pending_.store(false, std::memory_order_relaxed);
        return std::exchange(ranges_, {});
    }

private:
    static constexpr Range everything{0, ~std::uint64_t{0}};

    std::mutex mutex_;
    std::vector<Range> ranges_;
    std::atomic<bool> pending_ = false;
};

/// Gives what is written to all vCPUs of a machine.
class HostWriteObserver final : public MemoryObserver {
public:
    void add(HostWrites* writes) {
        const std::lock_guard lock(mutex_);
        all_.push_back(writes);
    }
    void remove(HostWrites* writes) noexcept {
        const std::lock_guard lock(mutex_);
        std::erase(all_, writes);
    }
    void written(std::uint64_t address, std::uint64_t size) noexcept override {
        const std::lock_guard lock(mutex_);
        for (HostWrites* const writes : all_) writes->note(address, size);
    }

private:
    std::mutex mutex_;
    std::vector<HostWrites*> all_;
};

}  // namespace asyncvm::unicorn
