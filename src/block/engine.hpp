/// Who performs jobs beside the device loop, and how the loop hears that they are done.
#pragma once

#include "block/job.hpp"

#include <asyncvm/asio.hpp>

#include <asio/posix/stream_descriptor.hpp>

#include <cstddef>
#include <functional>
#include <memory>

namespace asyncvm::block {

/// Knows nothing of Asio. One thread, but for what it has inside.
class Engine {
public:
    using Done = std::function<void(Job&)>;

    Engine() = default;
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;
    virtual ~Engine() = default;

    /// False: no more can be under way. The job stays where it is until it has been reaped.
    [[nodiscard]] virtual bool start(Job& job) noexcept = 0;
    /// Jobs that were started may wait for this. False: call it again, the kernel has no room just now.
    virtual bool submit() noexcept { return true; }
    /// Readable when there is something to reap.
    [[nodiscard]] virtual int descriptor() const noexcept = 0;
    /// Calls `done` for each job that has ended; never blocks.
    virtual void reap(const Done& done) = 0;
    /// Blocks until there is something to reap.
    virtual void wait() noexcept = 0;
};

/// The side of an engine that is on the device loop. While no job is under way, nothing waits.
class Runner : public std::enable_shared_from_this<Runner> {
public:
    Runner(asio::io_context& loop, std::unique_ptr<Engine> engine);

    /// Performs the job. Completes when the engine has finished with it, also if the coroutine is cancelled; destroyed
    /// before, it blocks until then. False: the engine does not take it.
    [[nodiscard]] awaitable<bool> run(std::shared_ptr<Job> job);

private:
    [[nodiscard]] bool start(const std::shared_ptr<Job>& job);
    void submit_later();
    void listen();
    void collect();
    void wait_for(const Job& job) noexcept;

    asio::io_context& loop_;
    std::unique_ptr<Engine> engine_;
    asio::posix::stream_descriptor descriptor_;
    std::size_t under_way_ = 0;
    bool submitting_ = false;
    bool listening_ = false;
};

}  // namespace asyncvm::block
