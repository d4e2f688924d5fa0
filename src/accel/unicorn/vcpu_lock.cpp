#include "accel/unicorn/vcpu_lock.hpp"

namespace asyncvm::unicorn {

bool VcpuLock::try_lock() {
    const std::lock_guard guard(mutex_);
    if (held_ || !waiting_.empty()) return false;
    held_ = true;
    return true;
}

bool VcpuLock::lock(const std::atomic<bool>& cancelled) {
    std::unique_lock guard(mutex_);
    if (!held_ && waiting_.empty()) {
        held_ = true;
        return true;
    }
    waiting_.push_back(&cancelled);
    waiting_count_.store(static_cast<unsigned>(waiting_.size()), std::memory_order_relaxed);
    const auto ours = [&] { return !held_ && waiting_.front() == &cancelled; };
    changed_.wait(guard, [&] { return cancelled.load() || ours(); });
    const bool taken = ours();
    std::erase(waiting_, &cancelled);
    waiting_count_.store(static_cast<unsigned>(waiting_.size()), std::memory_order_relaxed);
    if (taken) {
        held_ = true;
    } else {
        changed_.notify_all();  // another may be first now
    }
    return taken;
}

void VcpuLock::unlock() noexcept {
    const std::lock_guard guard(mutex_);
    held_ = false;
    if (!waiting_.empty()) changed_.notify_all();
}

void VcpuLock::wake() noexcept {
    // With the lock, so that a wait that has just looked at its flag is not missed.
    const std::lock_guard guard(mutex_);
    changed_.notify_all();
}

}  // namespace asyncvm::unicorn
