// What ties a job of an engine to a coroutine: above all that nobody's memory is touched after it was given back.
#define BOOST_TEST_MODULE block_runner
#include <boost/test/unit_test.hpp>

#include "block/engine.hpp"
#include "block/thread_pool.hpp"
#include "block_fixture.hpp"
#include "os/unique_fd.hpp"

#include <sys/eventfd.h>

#include <array>
#include <memory>

using namespace asyncvm;
using namespace asyncvm::block;
using namespace asyncvm::test;

namespace {

/// Ends its jobs when it is told to, or when somebody blocks for them.
class SlowEngine final : public Engine {
public:
    [[nodiscard]] bool start(Job& job) noexcept override {
        jobs.push_back(&job);
        return true;
    }
    bool submit() noexcept override { return ++submits > refused; }
    [[nodiscard]] int descriptor() const noexcept override { return event_.get(); }
    void reap(const Done& done) override {
        std::uint64_t count = 0;
        static_cast<void>(::read(event_.get(), &count, sizeof count));
        for (Job* const job : std::exchange(jobs, {})) done(*job);
    }
    void wait() noexcept override { ++*waits; }
    void end_all() {
        const std::uint64_t one = 1;
        BOOST_REQUIRE(::write(event_.get(), &one, sizeof one) == sizeof one);
    }

    std::vector<Job*> jobs;
    int submits = 0;
    int refused = 0;  ///< so many calls of submit()
    std::shared_ptr<int> waits = std::make_shared<int>(0);

private:
    UniqueFd event_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

awaitable<void> one_job(std::shared_ptr<Runner> runner, bool& done) {
    auto job = std::make_shared<Job>(Job::Work::flush, -1, 0, 1);
    const bool taken = co_await runner->run(job);
    BOOST_REQUIRE(taken);
    done = true;
}

struct Running {
    asio::io_context loop{1};
    SlowEngine* engine = new SlowEngine;
    std::shared_ptr<Runner> runner = std::make_shared<Runner>(loop, std::unique_ptr<Engine>(engine));
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_cancelled_job_ends_when_the_engine_is_done_with_it, Running) {
    bool done = false;
    bool ended = false;
    asio::cancellation_signal cancel;
    asio::co_spawn(loop, one_job(runner, done),
                   asio::bind_cancellation_slot(cancel.slot(), [&](const std::exception_ptr&) { ended = true; }));
    loop.poll();
    cancel.emit(asio::cancellation_type::all);
    loop.poll();
    BOOST_TEST(!done);
    BOOST_TEST(!ended);
    engine->end_all();
    loop.restart();
    loop.run();
    BOOST_TEST(done);
    BOOST_TEST(ended);
}

namespace {

awaitable<void> two_jobs(std::shared_ptr<Runner> runner) {
    co_await runner->run(std::make_shared<Job>(Job::Work::flush, -1, 0, 1));
    co_await runner->run(std::make_shared<Job>(Job::Work::flush, -1, 0, 1));
}

}  // namespace

// What starts after a cancellation would use memory that nobody keeps any more.
BOOST_FIXTURE_TEST_CASE(after_a_cancellation_nothing_starts, Running) {
    bool ended = false;
    asio::cancellation_signal cancel;
    asio::co_spawn(loop, two_jobs(runner),
                   asio::bind_cancellation_slot(cancel.slot(), [&](const std::exception_ptr&) { ended = true; }));
    loop.poll();
    cancel.emit(asio::cancellation_type::all);
    engine->end_all();
    loop.restart();
    loop.run();
    BOOST_TEST(ended);
    BOOST_TEST(engine->jobs.empty());
}

BOOST_AUTO_TEST_CASE(a_job_that_is_destroyed_with_its_loop_is_waited_for) {
    bool done = false;
    const auto waits = std::make_shared<int>(0);
    {
        Running running;
        running.engine->waits = waits;
        asio::co_spawn(running.loop, one_job(running.runner, done), [](const std::exception_ptr&) {});
        running.loop.poll();
        running.runner.reset();  // the coroutine has it
        BOOST_TEST(*waits == 0);
    }
    BOOST_TEST(*waits == 1);
    BOOST_TEST(!done);
}

BOOST_FIXTURE_TEST_CASE(what_the_kernel_has_no_room_for_is_submitted_again, Running) {
    engine->refused = 3;
    bool done = false;
    asio::co_spawn(loop, one_job(runner, done), [](const std::exception_ptr&) {});
    loop.poll();
    BOOST_TEST(engine->submits == 4);
    engine->end_all();
    loop.restart();
    loop.run();
    BOOST_TEST(done);
}

BOOST_FIXTURE_TEST_CASE(what_starts_in_one_turn_of_the_loop_is_submitted_at_once, Running) {
    std::array<bool, 5> done{};
    for (bool& each : done) asio::co_spawn(loop, one_job(runner, each), [](const std::exception_ptr&) {});
    loop.poll();
    BOOST_TEST(engine->jobs.size() == done.size());
    BOOST_TEST(engine->submits == 1);
    engine->end_all();
    loop.restart();
    loop.run();
    for (const bool each : done) BOOST_TEST(each);
}

namespace {

awaitable<std::error_code> pool_job(std::shared_ptr<Runner> runner, std::shared_ptr<Job> job) {
    const bool taken = co_await runner->run(job);
    BOOST_REQUIRE(taken);
    co_return job->error;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_pool_has_no_more_threads_than_it_was_allowed_and_ends_all_jobs, BlockFixture) {
    auto owned = std::make_unique<ThreadPool>(3);
    auto& pool = *owned;
    const auto runner = std::make_shared<Runner>(loop, std::move(owned));
    BOOST_TEST(pool.threads() == 0u);
    const auto bytes = pattern(100 * 512, 1);
    const UniqueFd file(::open(make_image(bytes).c_str(), O_RDONLY));
    Bytes read_back(bytes.size());
    int ended = 0;
    for (std::size_t i = 0; i < 100; ++i) {
        auto job = std::make_shared<Job>(Job::Work::read, file.get(), i * 512, 512);
        job->parts.push_back({read_back.data() + i * 512, 512});
        asio::co_spawn(loop, pool_job(runner, std::move(job)), [&](const std::exception_ptr&, std::error_code error) {
            BOOST_TEST(!error);
            ++ended;
        });
    }
    loop.run();
    BOOST_TEST(ended == 100);
    BOOST_TEST(pool.threads() >= 1u);
    BOOST_TEST(pool.threads() <= 3u);
    BOOST_TEST((read_back == bytes));
}
