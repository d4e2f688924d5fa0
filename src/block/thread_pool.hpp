/// Threads that perform jobs with system calls that block.
#pragma once

#include "block/engine.hpp"
#include "os/unique_fd.hpp"

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace asyncvm::block {

/// A thread is made when a job finds none that is idle, up to `most`; one that exists stays. Where the host gives no thread
/// at all, jobs are performed at once, on the caller's.
class ThreadPool final : public Engine {
public:
    static constexpr std::size_t default_threads = 8;

    /// Throws Error(host) if the process has no descriptor left.
    explicit ThreadPool(std::size_t most = default_threads);
    ~ThreadPool() override;

    [[nodiscard]] bool start(Job& job) noexcept override;
    [[nodiscard]] int descriptor() const noexcept override { return event_.get(); }
    void reap(const Done& done) override;
    void wait() noexcept override;

    [[nodiscard]] std::size_t threads() const noexcept { return threads_.size(); }

private:
    void work();
    void finished(Job& job) noexcept;
    [[nodiscard]] bool make_thread() noexcept;

    const std::size_t most_;
    const UniqueFd event_;  ///< an eventfd
    std::mutex mutex_;
    std::condition_variable wanted_;
    std::deque<Job*> queue_;
    std::vector<Job*> done_;
    std::size_t idle_ = 0;
    bool ending_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace asyncvm::block
