// A machine's handle that goes while coroutines of the machine are suspended, on a device loop that goes on.
#define BOOST_TEST_MODULE lifetime
#include <asyncvm/event.hpp>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>

#include <atomic>
#include <deque>
#include <functional>
#include <ostream>
#include <thread>

#include "../unit/bus/devices.hpp"
#include "accelerator_under_test.hpp"
#include "machine_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::test;
using namespace std::chrono_literals;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

namespace {

/// Memory that AddressSanitizer watches: a device that still works when it is gone touches it.
class Touchy : public Device {
public:
    explicit Touchy(Affinity affinity) : affinity_(affinity) {}
    std::string_view name() const noexcept override { return "touchy"; }
    Affinity affinity() const noexcept override { return affinity_; }
    void attached(const DeviceContext& context) override { context_.emplace(context); }
    bool posts(std::uint64_t) const noexcept override { return true; }

    awaitable<void> write(const Access&) override { return hold(); }
    awaitable<void> read(Access&) override { return hold(); }
    awaitable<void> rung(std::size_t) override { return hold(); }
    awaitable<void> run() override {
        if (!background) return Device::run();
        return hold();
    }
    std::vector<Doorbell> doorbells() const override {
        if (!doorbell) return {};
        return {{.offset = 0, .size = 1}};
    }

    /// Suspends until the test releases it, or it is cancelled; then uses what it was given of the machine.
    awaitable<void> hold() {
        const Use use(*this);
        entered.notify();
        if (deaf) co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        co_await released.wait(0);
    }

    const Affinity affinity_;
    bool background = false;
    bool doorbell = false;
    bool deaf = false;
    Event entered;
    Event released;
    std::atomic<int> uses = 0;

private:
    struct Use {
        explicit Use(Touchy& d) : device(d) {}
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;
        ~Use() {
            std::byte byte{};
            device.context_->memory.read(0, std::span(&byte, 1));
            static_cast<void>(device.context_->clock.now());
            ++device.uses;
        }
        Touchy& device;
    };
    std::optional<DeviceContext> context_;
};

/// A ring that has one write to a device at port 0x10 in it as soon as the guest has made an exit.
class OneWrite : public CoalescedRing {
public:
    bool collect(const CoalescedZone&) noexcept override { return false; }
    void leave(const CoalescedZone&) noexcept override {}
    bool pending() const noexcept override { return count_ > 0; }
    std::size_t peek(std::span<CoalescedWrite> to) const noexcept override {
        if (count_ == 0) return 0;
        to[0] = {Space::port, 1, 0x10, 'A'};
        return 1;
    }
    void release(std::size_t count) noexcept override { count_ -= static_cast<int>(count); }

private:
    std::atomic<int> count_ = 1;
};

/// The accelerator under test with that ring.
class WithOneWrite : public Accelerator {
public:
    std::string_view name() const noexcept override { return inner_->name(); }
    void map(const GuestMemory& memory) override { inner_->map(memory); }
    std::unique_ptr<Cpu> create_cpu(unsigned index) override { return inner_->create_cpu(index); }
    CoalescedRing* posted_writes() noexcept override { return &ring_; }

private:
    std::unique_ptr<Accelerator> inner_ = make_accelerator_under_test();
    OneWrite ring_;
};

/// Where the machine is when its handle goes.
enum class Point {
    in_place,
    on_device_loop,
    deaf_in_place,
    deaf_on_device_loop,
    posted,
    doorbell,
    background,
    pause,
    spinning
};

std::ostream& operator<<(std::ostream& out, Point point) {
    constexpr const char* names[] = {"in place", "on device loop", "deaf in place", "deaf on device loop",
                                     "posted",   "doorbell",       "background",    "pause",
                                     "spinning"};
    return out << names[static_cast<int>(point)];
}

const std::vector points{Point::in_place, Point::on_device_loop, Point::deaf_in_place, Point::deaf_on_device_loop,
                         Point::posted,   Point::doorbell,       Point::background,    Point::pause,
                         Point::spinning};

struct Situation {
    explicit Situation(asio::io_context& l, Point p) : loop(l), point(p) {
        const bool on_loop = point == Point::on_device_loop || point == Point::deaf_on_device_loop;
        device = std::make_shared<Touchy>(on_loop ? Affinity::device_loop : Affinity::in_place);
        device->background = point == Point::background;
        device->doorbell = point == Point::doorbell;
        device->deaf = point == Point::deaf_in_place || point == Point::deaf_on_device_loop;
        machine.emplace(loop, 1, point == Point::posted ? std::make_unique<WithOneWrite>() : make_accelerator_under_test(),
                        [](MachineConfig& config) { config.cancellation_patience = 10ms; });
        machine->machine.ports().attach({0x10, 1}, device);
        switch (point) {
            case Point::posted:  // an exit first: out %al, $0x20; the ring is looked at then
                machine->load({0xe6, 0x20, 0xeb, 0xfe});
                break;
            case Point::background:
            case Point::pause:
            case Point::spinning:
                machine->load({0xeb, 0xfe});
                break;
            default:  // out %al, $0x10; jmp .
                machine->load({0xe6, 0x10, 0xeb, 0xfe});
        }
    }

    /// Runs the machine until it is at the point. The outcome of run() goes to where the test can see it afterwards.
    void reach() {
        asio::co_spawn(loop, machine->machine.run(), [ended = ended, outcome = outcome](std::exception_ptr e, Outcome with) {
            *ended = true;
            BOOST_TEST(!e);
            *outcome = with.kind;
        });
        loop.restart();
        if (point == Point::spinning) {
            loop.run_for(1ms);
        } else if (point == Point::pause) {
            bool paused = false;
            asio::co_spawn(loop, machine->machine.pause(), [&](std::exception_ptr e, Pause with) {
                BOOST_REQUIRE(!e);
                held.emplace(std::move(with));
                paused = true;
            });
            for (const auto until = std::chrono::steady_clock::now() + patience;
                 !paused && std::chrono::steady_clock::now() < until;) {
                loop.run_one_for(10ms);
            }
            BOOST_REQUIRE(paused);
        } else {
            bool entered = false;
            asio::co_spawn(loop, device->entered.wait(0), [&](std::exception_ptr, bool) { entered = true; });
            for (const auto until = std::chrono::steady_clock::now() + patience;
                 !entered && std::chrono::steady_clock::now() < until;) {
                loop.run_one_for(10ms);
            }
            BOOST_REQUIRE(entered);
        }
    }

    asio::io_context& loop;
    const Point point;
    std::shared_ptr<Touchy> device;
    std::optional<TestMachine> machine;
    std::optional<Pause> held;
    std::shared_ptr<bool> ended = std::make_shared<bool>(false);
    std::shared_ptr<Outcome::Kind> outcome = std::make_shared<Outcome::Kind>(Outcome::Kind::halted);
};

void run_until(asio::io_context& loop, const std::function<bool()>& condition) {
    loop.restart();
    for (const auto until = std::chrono::steady_clock::now() + patience;
         !condition() && std::chrono::steady_clock::now() < until;) {
        loop.run_one_for(10ms);
    }
    BOOST_TEST(condition());
}

}  // namespace

BOOST_DATA_TEST_CASE(the_loop_goes_on_and_run_returns, boost::unit_test::data::make(points)) {
    asio::io_context loop{1};
    Situation situation(loop, sample);
    situation.reach();
    situation.machine.reset();
    run_until(loop, [&] { return *situation.ended; });
    BOOST_CHECK(*situation.outcome == Outcome::Kind::stopped);
    // A device that has not reacted until now gets its answer for nobody.
    situation.device->released.notify();
    loop.restart();
    loop.run_for(patience);
    BOOST_TEST(loop.stopped());
    situation.held.reset();
    // All is freed, but for the coroutine of an access in place that did not react: nobody runs its io_context any more.
    if (sample != Point::deaf_in_place) BOOST_TEST(situation.device.use_count() == 1);
}

BOOST_DATA_TEST_CASE(the_loop_never_runs_again, boost::unit_test::data::make(points)) {
    std::shared_ptr<Touchy> device;
    {
        asio::io_context loop{1};
        Situation situation(loop, sample);
        situation.reach();
        situation.machine.reset();
        device = situation.device;
    }
    device->released.notify();
    BOOST_TEST(device.use_count() == 1);
}

BOOST_DATA_TEST_CASE(another_thread_pauses_the_machine_there_and_it_goes_on, boost::unit_test::data::make(points)) {
    asio::io_context own{1};
    asio::io_context loop{1};
    Situation situation(loop, sample);
    situation.reach();
    std::atomic<bool> done = false;
    std::exception_ptr failure;
    std::thread other([&] {
        const auto work = [](Machine& machine) -> awaitable<void> {
            const Pause first = co_await machine.pause();
            const Pause second = co_await machine.pause();
        };
        asio::co_spawn(own, work(situation.machine->machine), [&](std::exception_ptr e) { failure = e; });
        own.run();
        done = true;
    });
    run_until(loop, [&] { return done.load(); });
    other.join();
    BOOST_TEST(!failure);
    // The pause has neither ended nor lost what was suspended.
    BOOST_TEST(!*situation.ended);
    const bool waits = sample != Point::pause && sample != Point::spinning;
    BOOST_TEST(situation.device->uses == 0);
    situation.held.reset();
    situation.device->released.notify();
    run_until(loop, [&] { return situation.device->uses == (waits ? 1 : 0); });
    situation.machine->machine.stop();
    run_until(loop, [&] { return *situation.ended; });
    BOOST_CHECK(*situation.outcome == Outcome::Kind::stopped);
}

BOOST_AUTO_TEST_CASE(while_the_accelerator_is_being_made) {
    asio::io_context loop{1};
    std::optional<TestMachine> test(std::in_place, loop, 1, AcceleratorMaker([] { return make_accelerator_under_test(); }));
    test->machine.prepare();
    bool ended = false;
    asio::co_spawn(loop, test->machine.prepared(), [&ended](std::exception_ptr) { ended = true; });
    loop.poll();
    test.reset();
    run_until(loop, [&] { return ended; });
}

BOOST_AUTO_TEST_CASE(a_device_that_does_not_react_is_named_with_its_vcpu_and_its_port) {
    asio::io_context loop{1};
    Situation situation(loop, Point::deaf_in_place);
    situation.reach();
    situation.machine->machine.stop();
    run_until(loop, [&] { return *situation.ended; });
    BOOST_REQUIRE(situation.machine->told.size() == 1u);
    const auto& line = situation.machine->told.front();
    for (const char* const part : {"vCPU 0", "10 ms", "device touchy", "port 0x10", "abandoned"}) {
        BOOST_TEST(line.find(part) != line.npos, line << " has no " << part);
    }
    situation.device->released.notify();
}

BOOST_AUTO_TEST_CASE(cancelling_a_run_that_winds_down_gives_the_outcome_and_ends_the_background_work) {
    asio::io_context loop{1};
    const auto device = std::make_shared<Touchy>(Affinity::in_place);
    device->background = true;
    device->deaf = true;  // run() waits for it while it winds down
    TestMachine test(loop);
    test.machine.ports().attach({0x10, 1}, device);
    test.load({0xf4});
    test.start();
    // The guest halts; cancellations come at every step of the way out.
    run_until(loop, [&] {
        if (device->entered.generation() > 0) test.cancel.emit(asio::cancellation_type::terminal);
        return test.outcome || test.failure;
    });
    BOOST_TEST(!test.failure);
    BOOST_REQUIRE(test.outcome);
    device->released.notify();
    loop.restart();
    loop.run_for(patience);
    BOOST_TEST(loop.stopped());
}
