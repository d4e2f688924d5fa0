#define BOOST_TEST_MODULE coalesced
#include "machine/coalesced_writes.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <deque>
#include <exception>
#include <system_error>
#include <tuple>

#include "../bus/devices.hpp"
#include "bus/coalesced_zones.hpp"
#include "stats/machine_recorder.hpp"

using namespace asyncvm;
using namespace asyncvm::test;
using namespace std::chrono_literals;

namespace {

/// KVM's part.
class FakeRing : public CoalescedRing {
public:
    bool collect(const CoalescedZone& zone) noexcept override {
        const std::lock_guard lock(mutex_);
        if (refuses) {
            ++refused;
            return false;
        }
        zones.push_back(zone);
        return true;
    }
    /// As Linux does: it leaves every zone that contains this one.
    void leave(const CoalescedZone& zone) noexcept override {
        const std::lock_guard lock(mutex_);
        std::erase_if(zones, [&](const CoalescedZone& other) {
            return other.space == zone.space && other.address <= zone.address &&
                   zone.address + zone.size <= other.address + other.size;
        });
    }
    bool pending() const noexcept override {
        const std::lock_guard lock(mutex_);
        return !writes_.empty();
    }
    std::size_t peek(std::span<CoalescedWrite> to) const noexcept override {
        const std::lock_guard lock(mutex_);
        const auto count = std::min(to.size(), writes_.size());
        std::copy_n(writes_.begin(), count, to.begin());
        return count;
    }
    void release(std::size_t count) noexcept override {
        const std::lock_guard lock(mutex_);
        writes_.erase(writes_.begin(), writes_.begin() + static_cast<std::ptrdiff_t>(count));
    }
    void post(std::uint64_t address, std::uint8_t size, std::uint64_t data, Space space = Space::port) {
        const std::lock_guard lock(mutex_);
        writes_.push_back({space, size, address, data});
    }

    std::vector<CoalescedZone> zones;
    bool refuses = false;
    std::atomic<unsigned> refused = 0;

private:
    mutable std::mutex mutex_;
    std::deque<CoalescedWrite> writes_;
};

class Posts : public Recorder {
public:
    bool posts(std::uint64_t offset) const noexcept override { return coalesced && offset < 4; }
    std::atomic<bool> coalesced = true;
};

/// Takes writes when the test says so.
class Gate : public Recorder {
public:
    awaitable<void> write(const Access& access) override {
        began.notify();
        co_await opened.wait(0);
        co_await Recorder::write(access);
    }
    Event began;
    Event opened;
};

/// How many writes each call tells of.
class Strings : public Observer {
public:
    void posted(const Transaction& writes) noexcept override {
        const std::lock_guard lock(mutex_);
        lengths_.push_back(writes.data.size() / writes.size);
    }
    [[nodiscard]] std::vector<std::size_t> lengths() const {
        const std::lock_guard lock(mutex_);
        return lengths_;
    }

private:
    mutable std::mutex mutex_;
    std::vector<std::size_t> lengths_;
};

struct Fixture {
    asio::io_context loop{1};
    IoBus ports{Space::port, loop, {}};
    IoBus mmio{Space::memory, loop, {}};
    FakeRing ring;
    const std::shared_ptr<Strings> strings = std::make_shared<Strings>();
    Observers observers{{strings}};
    std::shared_ptr<CoalescedWrites> coalesced = std::make_shared<CoalescedWrites>(ring, ports, mmio, observers, 1h);
    std::shared_ptr<Posts> device = std::make_shared<Posts>();
    struct Result {
        asio::cancellation_signal cancel;
        bool ended = false;
        std::exception_ptr failure;
    };

    /// As a machine does: a change of zones may be on its way while the ring goes.
    ~Fixture() { coalesced->shut(); }

    std::shared_ptr<Result> start(awaitable<void> work) {
        const auto result = std::make_shared<Result>();
        asio::co_spawn(loop, std::move(work),
                       asio::bind_cancellation_slot(result->cancel.slot(), [result](std::exception_ptr e) {
                           result->ended = true;
                           result->failure = std::move(e);
                       }));
        return result;
    }

    void run_until(const std::function<bool()>& done) {
        const auto limit = std::chrono::steady_clock::now() + 20s;
        loop.restart();
        while (!done() && std::chrono::steady_clock::now() < limit) loop.run_one_for(1s);
        BOOST_REQUIRE(done());
    }

    void burst(std::uint64_t address, std::uint8_t size = 1) {
        for (unsigned i = 0; i < 2 * BurstDetector::length; ++i) {
            std::array<std::byte, 8> data{};
            Transaction transaction;
            transaction.direction = Direction::write;
            transaction.size = size;
            transaction.address = address;
            transaction.data = std::span(data).first(size);
            bool done = false;
            asio::co_spawn(loop, ports.perform(transaction, 0), [&](std::exception_ptr) { done = true; });
            run_until([&] { return done; });
        }
    }

    /// On a busy machine writes may be too slow for a burst.
    void burst_until(std::uint64_t address, std::uint8_t size, const std::function<bool()>& done) {
        const auto limit = std::chrono::steady_clock::now() + 20s;
        while (!done() && std::chrono::steady_clock::now() < limit) {
            burst(address, size);
            loop.run_for(10ms);
        }
        BOOST_REQUIRE(done());
    }

    std::vector<std::tuple<std::uint64_t, unsigned, std::uint64_t>> seen() const {
        std::vector<std::tuple<std::uint64_t, unsigned, std::uint64_t>> all;
        for (const auto& access : device->accesses) all.emplace_back(access.address, access.size, access.data);
        return all;
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(coalesced, Fixture)

BOOST_AUTO_TEST_CASE(a_zone_is_collected_after_a_burst_and_left_when_nothing_comes) {
    ports.attach({0x100, 8}, device);
    const auto work = start(CoalescedWrites::run(coalesced));
    burst_until(0x101, 1, [&] { return coalesced->zones() == 1; });
    BOOST_TEST((ring.zones == std::vector<CoalescedZone>{{Space::port, 0x101, 1}}));
    run_until([&] { return coalesced->zones() == 0; });
    BOOST_TEST(ring.zones.empty());
    // Nothing runs any more, until there is another burst.
    while (loop.poll() != 0) {
    }
    BOOST_TEST(loop.run_for(20ms) == 0U);
    burst_until(0x102, 2, [&] { return coalesced->zones() == 1; });
    BOOST_TEST((ring.zones == std::vector<CoalescedZone>{{Space::port, 0x102, 2}}));
    BOOST_TEST(!work->ended);
}

BOOST_AUTO_TEST_CASE(what_is_posted_is_delivered_without_any_exit) {
    ports.attach({0x100, 8}, device);
    start(CoalescedWrites::run(coalesced));
    burst_until(0x100, 1, [&] { return coalesced->zones() == 1; });
    const auto before = device->accesses.size();
    ring.post(0x100, 1, 'x');
    run_until([&] { return device->accesses.size() == before + 1; });
    BOOST_TEST(coalesced->delivered() == 1U);
}

BOOST_AUTO_TEST_CASE(observers_hear_of_what_is_delivered_together) {
    ports.attach({0x100, 8}, device);
    for (int i = 0; i < 3; ++i) ring.post(0x100, 2, 'x');
    ring.post(0x104, 2, 'y');
    const auto work = start(coalesced->drain());
    run_until([&] { return work->ended; });
    BOOST_TEST(strings->lengths() == (std::vector<std::size_t>{3, 1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_zone_is_left_when_its_device_no_longer_posts) {
    ports.attach({0x100, 8}, device);
    start(CoalescedWrites::run(coalesced));
    burst_until(0x100, 1, [&] { return coalesced->zones() == 1; });
    device->coalesced = false;
    run_until([&] { return coalesced->zones() == 0; });
    BOOST_TEST(ring.zones.empty());
}

BOOST_AUTO_TEST_CASE(a_wider_zone_replaces_those_inside) {
    ports.attach({0x100, 8}, device);
    start(CoalescedWrites::run(coalesced));
    burst_until(0x100, 1, [&] { return coalesced->zones() == 1; });
    const auto changes = coalesced->zones_changed().generation();
    burst_until(0x100, 2, [&] { return coalesced->zones_changed().generation() > changes; });
    // The first may have been idle for too long meanwhile.
    BOOST_TEST(coalesced->zones() <= 1U);
    run_until([&] { return ring.zones.size() == coalesced->zones(); });
}

BOOST_AUTO_TEST_CASE(what_does_not_post_is_not_collected) {
    ports.attach({0x100, 8}, device);
    ports.attach({0x108, 4}, std::make_shared<Recorder>());
    start(CoalescedWrites::run(coalesced));
    burst(0x104);     // offset 4
    burst(0x103, 2);  // reaches it
    burst(0x108);     // another device, which does not
    burst(0x200);     // nobody
    while (loop.poll() != 0) {
    }
    BOOST_TEST(coalesced->zones() == 0U);
    BOOST_TEST(ring.zones.empty());
}

BOOST_AUTO_TEST_CASE(a_host_that_takes_no_zone_is_no_failure) {
    ports.attach({0x100, 8}, device);
    ring.refuses = true;
    const auto work = start(CoalescedWrites::run(coalesced));
    burst_until(0x100, 1, [&] { return ring.refused > 0; });
    BOOST_TEST(coalesced->zones() == 0U);
    BOOST_TEST(!work->ended);
}

BOOST_AUTO_TEST_CASE(order_address_size_and_data_are_kept) {
    ports.attach({0x100, 8}, device);
    const std::vector<std::tuple<std::uint64_t, unsigned, std::uint64_t>> all{
        {0x100, 1, 1},      {0x100, 1, 2},           {0x101, 1, 3}, {0x100, 1, 4},
        {0x100, 2, 0x1234}, {0x100, 4, 0x5678'9abc}, {0x104, 4, 5}};
    for (const auto& [address, size, data] : all) ring.post(address, static_cast<std::uint8_t>(size), data);
    ring.post(0x300, 1, 6);  // nobody is there
    const auto result = start(coalesced->drain());
    run_until([&] { return result->ended; });
    BOOST_TEST((seen() == all));
    BOOST_TEST(coalesced->delivered() == all.size() + 1);
    BOOST_TEST(ports.unclaimed() == 1U);
}

BOOST_AUTO_TEST_CASE(whoever_comes_while_somebody_delivers_waits_for_that) {
    const auto gate = std::make_shared<Gate>();
    ports.attach({0x100, 8}, gate);
    ring.post(0x100, 1, 1);
    const auto first = start(coalesced->drain());
    run_until([&] { return gate->began.generation() == 1; });
    BOOST_TEST(coalesced->pending());
    const auto second = start(coalesced->drain());
    while (loop.poll() != 0) {
    }
    BOOST_TEST(!second->ended);
    gate->opened.notify();
    run_until([&] { return first->ended && second->ended; });
    BOOST_TEST(gate->accesses.size() == 1U);
    BOOST_TEST(!coalesced->pending());
}

BOOST_AUTO_TEST_CASE(a_cancelled_delivery_is_not_repeated_and_the_rest_stays) {
    const auto gate = std::make_shared<Gate>();
    ports.attach({0x100, 8}, gate);
    ports.attach({0x200, 8}, device);
    ring.post(0x100, 1, 1);
    ring.post(0x200, 1, 2);
    const auto cancelled = start(coalesced->drain());
    run_until([&] { return gate->began.generation() == 1; });
    cancelled->cancel.emit(asio::cancellation_type::terminal);
    run_until([&] { return cancelled->ended; });
    BOOST_CHECK_THROW(std::rethrow_exception(cancelled->failure), std::system_error);
    const auto rest = start(coalesced->drain());
    run_until([&] { return rest->ended; });
    BOOST_TEST(gate->began.generation() == 1U);
    BOOST_TEST(device->accesses.size() == 1U);
}

BOOST_AUTO_TEST_CASE(statistics_count_it_at_its_place) {
    ports.attach({0x100, 8}, device);
    const auto recorder =
        std::make_shared<stats::MachineRecorder>(stats::Places(ports.ranges(), mmio.ranges()), 1, stats::Clock::now());
    observers.add(recorder);
    for (const std::uint64_t address : {0x100, 0x100, 0x102, 0x200}) ring.post(address, 1, 1);
    const auto drain = start(coalesced->drain());
    run_until([&] { return drain->ended; });
    const auto places = recorder->snapshot(stats::Clock::now()).places;
    BOOST_TEST(places.at(0).device == "recorder");
    BOOST_TEST(places.at(0).posted == 3U);
    BOOST_TEST(places.at(1).posted == 1U);
}

BOOST_AUTO_TEST_CASE(the_end_delivers_what_is_left) {
    ports.attach({0x100, 8}, device);
    const auto work = start(CoalescedWrites::run(coalesced));
    loop.poll();
    for (int i = 0; i < 500; ++i) ring.post(0x100, 1, 1);
    const auto end = start(coalesced->finish(10s));
    run_until([&] { return end->ended; });
    BOOST_TEST(work->ended);
    BOOST_TEST(device->accesses.size() == 500U);
}

BOOST_AUTO_TEST_SUITE_END()
