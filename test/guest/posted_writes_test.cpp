// Writes that KVM collects: the devices see them in the guest's order, and soon, whatever else the guest does.
#define BOOST_TEST_MODULE posted_writes
#include <asyncvm/event.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "accelerator_under_test.hpp"
#include "bus/coalesced_zones.hpp"
#include "collecting_accelerator.hpp"
#include "machine_fixture.hpp"
#include "requires.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

namespace {

/// Checks that the guest's numbers come in order. The upper 8 bits of a number are its vCPU's, the others count from 0.
/// After a burst the guest waits until its writes are collected: however slow the host is, some are posted.
class Sequence : public Device {
public:
    static constexpr std::uint64_t last_words = 0xffff'ffff;

    explicit Sequence(std::shared_ptr<Zones> zones, Affinity affinity) : zones_(std::move(zones)), affinity_(affinity) {}
    std::string_view name() const noexcept override { return "sequence"; }
    Affinity affinity() const noexcept override { return affinity_; }
    bool posts(std::uint64_t) const noexcept override { return count_ < posts_until; }

    awaitable<void> write(const Access& access) override {
        note(access);
        if (++writes_ == 4 * BurstDetector::length) co_await zones_->wait_for_the_first();
    }
    awaitable<void> read(Access&) override { co_return; }

    /// Once it no longer posts: until nothing is collected any more.
    awaitable<void> wait_until_left() {
        if (count_ >= posts_until) co_await zones_->wait_until_none();
    }

    void note(const Access& access) {
        if (access.data == last_words) {
            ended.notify();
            return;
        }
        const std::lock_guard lock(mutex_);
        auto& next = next_.at(access.data >> 24U);
        if ((access.data & 0xff'ffffU) != next) ++disorder;
        ++next;
        ++count_;
    }

    /// How many have come. After the run.
    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

    std::atomic<std::uint64_t> posts_until = ~std::uint64_t{0};
    std::uint64_t disorder = 0;
    Event ended;

private:
    const std::shared_ptr<Zones> zones_;
    const Affinity affinity_;
    unsigned writes_ = 0;
    std::mutex mutex_;
    std::array<std::uint64_t, 4> next_{};
    std::atomic<std::uint64_t> count_ = 0;
};

/// Its writes belong to the same sequence, but need an answer.
class Ordinary : public Device {
public:
    explicit Ordinary(std::shared_ptr<Sequence> sequence) : sequence_(std::move(sequence)) {}
    std::string_view name() const noexcept override { return "ordinary"; }
    awaitable<void> write(const Access& access) override {
        sequence_->note(access);
        co_await sequence_->wait_until_left();
    }
    awaitable<void> read(Access&) override { co_return; }

private:
    const std::shared_ptr<Sequence> sequence_;
};

/// KVM's ring when a delivery stalls at the worst moment: many writes wait when the reader comes to the ring's first entry,
/// and the guest goes on until no write fits.
class StallingRing : public CollectingWrites {
public:
    using CollectingWrites::CollectingWrites;
    void release(std::size_t count) noexcept override {
        const bool to_the_first_entry = (released_ + count) % entries == 0;
        if (to_the_first_entry) wait_for(entries * 3 / 5);
        released_ += count;
        CollectingWrites::release(count);
        if (to_the_first_entry) wait_for(entries);
    }

private:
    static constexpr std::size_t entries = 170;  ///< of KVM's ring

    /// Until `count` writes wait, or no more come: the vCPU has stopped, or is the one that delivers.
    void wait_for(std::size_t count) const {
        std::array<CoalescedWrite, entries> writes;
        for (std::size_t before = 0, now = peek(writes); now > before && now < count; now = peek(writes)) {
            before = now;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }

    std::size_t released_ = 0;
};

awaitable<void> stop_at(Event& event, Machine& machine) {
    co_await event.wait(0);
    machine.stop();
}

struct Fixture {
    explicit Fixture(unsigned cpus = 1, Affinity affinity = Affinity::in_place,
                     CollectingAccelerator::Wrap wrap = wrap_in<CollectingWrites>)
        : test(loop, cpus, std::make_unique<CollectingAccelerator>(zones, std::move(wrap))),
          sequence(std::make_shared<Sequence>(zones, affinity)) {}

    /// With ECX = `count`, and EBX's upper 8 bits the vCPU's.
    Outcome run(std::uint32_t count) {
        for (unsigned cpu = 0; cpu < test.machine.cpus(); ++cpu) {
            Registers registers = test.registers;
            registers.rcx = count;
            registers.rbx = std::uint64_t{cpu} << 24U;
            test.machine.set_registers(cpu, registers);
        }
        return test.run();
    }

    asio::io_context loop{1};
    std::shared_ptr<Zones> zones = std::make_shared<Zones>();
    TestMachine test;
    std::shared_ptr<Sequence> sequence;
};

struct TwoCpus : Fixture {
    TwoCpus() : Fixture(2) {}
};

struct OnDeviceLoop : Fixture {
    OnDeviceLoop() : Fixture(1, Affinity::device_loop) {}
};

struct WithStalls : Fixture {
    WithStalls() : Fixture(1, Affinity::in_place, wrap_in<StallingRing>) {}
};

/// 1: mov %ebx, %eax; out %eax, (0x100); inc %ebx; dec %ecx; jnz 1b; hlt
constexpr std::initializer_list<std::uint8_t> writing{0xba, 0x00, 0x01, 0x66, 0x89, 0xd8, 0x66, 0xef,
                                                      0x66, 0x43, 0x66, 0x49, 0x75, 0xf5, 0xf4};

/// 32 bits, as `writing`, but ud2 in the end
constexpr std::initializer_list<std::uint8_t> writing_and_dying{0xba, 0x00, 0x01, 0x00, 0x00, 0x89, 0xd8,
                                                                0xef, 0x43, 0x49, 0x75, 0xf9, 0x0f, 0x0b};

/// Four writes to port 0x100, one to port 0x200, all of them numbers from EBX on, ECX times; hlt
constexpr std::initializer_list<std::uint8_t> interleaving{
    0xba, 0x00, 0x01, 0x66, 0x89, 0xd8, 0x66, 0xef, 0x66, 0x43, 0xba, 0x00, 0x01, 0x66, 0x89, 0xd8, 0x66, 0xef, 0x66,
    0x43, 0xba, 0x00, 0x01, 0x66, 0x89, 0xd8, 0x66, 0xef, 0x66, 0x43, 0xba, 0x00, 0x01, 0x66, 0x89, 0xd8, 0x66, 0xef,
    0x66, 0x43, 0xba, 0x00, 0x02, 0x66, 0x89, 0xd8, 0x66, 0xef, 0x66, 0x43, 0x66, 0x49, 0x75, 0xca, 0xf4};

/// Numbers from EBX on, to ports 0x100 and 0x104 by turns, ECX times; hlt
constexpr std::initializer_list<std::uint8_t> alternating{0xba, 0x00, 0x01, 0x66, 0x89, 0xd8, 0x66, 0xef, 0x66, 0x43,
                                                          0xba, 0x04, 0x01, 0x66, 0x89, 0xd8, 0x66, 0xef, 0x66, 0x43,
                                                          0xba, 0x00, 0x01, 0x66, 0x49, 0x75, 0xe8, 0xf4};

/// As `writing`, but in the end it writes 0xffffffff and spins.
constexpr std::initializer_list<std::uint8_t> spinning{0xba, 0x00, 0x01, 0x66, 0x89, 0xd8, 0x66, 0xef,
                                                       0x66, 0x43, 0x66, 0x49, 0x75, 0xf5, 0x66, 0xb8,
                                                       0xff, 0xff, 0xff, 0xff, 0x66, 0xef, 0xeb, 0xfe};

/// 32 bits: 1: mov %ebx, (0xd0000000); inc %ebx; dec %ecx; jnz 1b; hlt
constexpr std::initializer_list<std::uint8_t> writing_memory{0x89, 0x1d, 0x00, 0x00, 0x00, 0xd0,
                                                             0x43, 0x49, 0x75, 0xf6, 0xf4};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_burst_is_collected_and_arrives_in_order, Fixture, REQUIRES("coalesced-pio")) {
    // Many times what the ring holds: it becomes full again and again.
    test.machine.ports().attach({0x100, 8}, sequence);
    test.load(writing);
    BOOST_TEST((run(50'000).kind == Outcome::Kind::halted));
    BOOST_TEST(sequence->count() == 50'000U);
    BOOST_TEST(sequence->disorder == 0U);
    BOOST_TEST(test.machine.posted_writes() > 0U);
    BOOST_TEST(test.machine.posted_writes() < 50'000U);
}

// Linux until 6.11 does not notice that its ring is full when the reader has said that it stands at the first entry.
BOOST_FIXTURE_TEST_CASE(none_is_lost_while_a_delivery_stalls, WithStalls, REQUIRES("coalesced-pio")) {
    // Two ranges: each has its own bursts, and the writes are delivered one by one.
    test.machine.ports().attach({0x100, 4}, sequence);
    test.machine.ports().attach({0x104, 4}, sequence);
    test.load(alternating);
    BOOST_TEST((run(20'000).kind == Outcome::Kind::halted));
    BOOST_TEST(sequence->count() == 40'000U);
    BOOST_TEST(sequence->disorder == 0U);
    BOOST_TEST(test.machine.posted_writes() > 10'000U);
}

BOOST_FIXTURE_TEST_CASE(so_do_writes_to_memory, Fixture, REQUIRES("coalesced-mmio")) {
    test.machine.mmio().attach({0xd000'0000, 8}, sequence);
    test.load(writing_memory, Mode::protected32);
    BOOST_TEST((run(50'000).kind == Outcome::Kind::halted));
    BOOST_TEST(sequence->count() == 50'000U);
    BOOST_TEST(sequence->disorder == 0U);
    BOOST_TEST(test.machine.posted_writes() > 0U);
}

BOOST_FIXTURE_TEST_CASE(a_device_on_the_device_loop_gets_them_too, OnDeviceLoop, REQUIRES("coalesced-pio")) {
    test.machine.ports().attach({0x100, 8}, sequence);
    test.load(writing);
    BOOST_TEST((run(20'000).kind == Outcome::Kind::halted));
    BOOST_TEST(sequence->count() == 20'000U);
    BOOST_TEST(sequence->disorder == 0U);
    BOOST_TEST(test.machine.posted_writes() > 0U);
}

BOOST_FIXTURE_TEST_CASE(ordinary_writes_keep_their_place_among_them, Fixture, REQUIRES("coalesced-pio")) {
    test.machine.ports().attach({0x100, 8}, sequence);
    test.machine.ports().attach({0x200, 8}, std::make_shared<Ordinary>(sequence));
    test.load(interleaving);
    BOOST_TEST((run(10'000).kind == Outcome::Kind::halted));
    BOOST_TEST(sequence->count() == 50'000U);
    BOOST_TEST(sequence->disorder == 0U);
    BOOST_TEST(test.machine.posted_writes() > 0U);
}

BOOST_FIXTURE_TEST_CASE(each_vcpus_writes_stay_in_order, TwoCpus, REQUIRES("coalesced-pio")) {
    test.machine.ports().attach({0x100, 8}, sequence);
    test.machine.ports().attach({0x200, 8}, std::make_shared<Ordinary>(sequence));
    test.load(interleaving);
    BOOST_TEST((run(5'000).kind == Outcome::Kind::halted));
    BOOST_TEST(sequence->count() == 2 * 25'000U);
    BOOST_TEST(sequence->disorder == 0U);
    BOOST_TEST(test.machine.posted_writes() > 0U);
}

BOOST_FIXTURE_TEST_CASE(a_guest_that_never_exits_again_is_still_heard, Fixture, REQUIRES("coalesced-pio")) {
    test.machine.ports().attach({0x100, 8}, sequence);
    test.load(spinning);
    asio::co_spawn(loop, stop_at(sequence->ended, test.machine), [](std::exception_ptr) {});
    BOOST_TEST((run(50'000).kind == Outcome::Kind::stopped));
    BOOST_TEST(sequence->count() == 50'000U);
    BOOST_TEST(test.machine.posted_writes() > 0U);
}

BOOST_FIXTURE_TEST_CASE(a_device_that_no_longer_posts_is_left_alone, Fixture, REQUIRES("coalesced-pio")) {
    // The ordinary writes wait until it is.
    test.machine.ports().attach({0x100, 8}, sequence);
    test.machine.ports().attach({0x200, 8}, std::make_shared<Ordinary>(sequence));
    sequence->posts_until = 20'000;
    test.load(interleaving);
    BOOST_TEST((run(10'000).kind == Outcome::Kind::halted));
    BOOST_TEST(sequence->count() == 50'000U);
    BOOST_TEST(sequence->disorder == 0U);
    BOOST_TEST(test.machine.posted_writes() > 0U);
    BOOST_TEST(test.machine.posted_writes() < 20'000U);
}

BOOST_FIXTURE_TEST_CASE(the_report_about_a_guest_that_crashes_says_how_many_it_does_not_list, Fixture,
                        REQUIRES("coalesced-pio")) {
    test.machine.ports().attach({0x100, 8}, sequence);
    test.load(writing_and_dying, Mode::protected32);
    const Outcome outcome = run(50'000);
    BOOST_TEST((outcome.kind == Outcome::Kind::triple_fault));
    BOOST_TEST(sequence->count() == 50'000U);
    const auto posted = test.machine.posted_writes();
    BOOST_TEST(posted > 0U);
    const auto line = "not among them: " + std::to_string(posted) + " posted writes";
    BOOST_TEST(outcome.report.find(line) != std::string::npos, outcome.report);
}

BOOST_FIXTURE_TEST_CASE(a_short_burst_is_not_worth_it, Fixture) {
    test.machine.ports().attach({0x100, 8}, sequence);
    test.load(writing);
    BOOST_TEST((run(100).kind == Outcome::Kind::halted));
    BOOST_TEST(sequence->count() == 100U);
    BOOST_TEST(test.machine.posted_writes() == 0U);
}
