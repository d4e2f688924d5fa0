#include "block/thread_pool.hpp"

#include "async/signals_blocked.hpp"
#include "text/errno_text.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace asyncvm::block {

namespace {

UniqueFd make_event() {
    UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!event.valid()) throw Error(ErrorKind::host, fmt::format("cannot make an eventfd for a disk: {}", reason(errno)));
    return event;
}

}  // namespace

ThreadPool::ThreadPool(std::size_t most) : most_(most), event_(make_event()) {}

ThreadPool::~ThreadPool() {
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
    }
    wanted_.notify_all();
    for (auto& thread : threads_) thread.join();
}

bool ThreadPool::start(Job& job) noexcept {
    bool idle = false;
    {
        const std::lock_guard lock(mutex_);
        queue_.push_back(&job);
        idle = idle_ >= queue_.size();
    }
    if (!idle && threads_.size() < most_ && !make_thread() && threads_.empty()) {
        queue_.clear();
        perform(job);
        finished(job);
        return true;
    }
    wanted_.notify_one();
    return true;
}

bool ThreadPool::make_thread() noexcept {
    const SignalsBlocked blocked;
    try {
        threads_.emplace_back([this] { work(); });
    } catch (const std::system_error&) {
        return false;
    }
    ::pthread_setname_np(threads_.back().native_handle(), "disk");
    return true;
}

void ThreadPool::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        ++idle_;
        wanted_.wait(lock, [this] { return ending_ || !queue_.empty(); });
        --idle_;
        if (queue_.empty()) return;
        Job& job = *queue_.front();
        queue_.pop_front();
        lock.unlock();
        perform(job);
        finished(job);
        lock.lock();
    }
}

void ThreadPool::finished(Job& job) noexcept {
    const std::lock_guard lock(mutex_);
    done_.push_back(&job);
    if (done_.size() > 1) return;
    const std::uint64_t one = 1;
    static_cast<void>(::write(event_.get(), &one, sizeof one));
}

void ThreadPool::reap(const Done& done) {
    std::vector<Job*> jobs;
    {
        const std::lock_guard lock(mutex_);
        std::uint64_t count = 0;
        static_cast<void>(::read(event_.get(), &count, sizeof count));
        jobs.swap(done_);
    }
    for (Job* const job : jobs) done(*job);
}

void ThreadPool::wait() noexcept {
    pollfd ready{.fd = event_.get(), .events = POLLIN, .revents = 0};
    ::poll(&ready, 1, -1);
}

}  // namespace asyncvm::block
