// A virtio device at its transport: what its driver sees, and what its author can rely on.
#define BOOST_TEST_MODULE virtio_mmio
#include "mmio_driver.hpp"

#include <boost/test/unit_test.hpp>

#include <asyncvm/error.hpp>

#include <array>
#include <random>
#include <stdexcept>

using namespace asyncvm;
using namespace asyncvm::virtio;

namespace {

using R = MmioRegisters;
constexpr std::uint16_t for_device = RingDriver::writes;

/// Answers each request with its text backwards, when its host lets it: queue 0 with four coroutines, queue 1 with one.
class Mirror final : public virtio::Device {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "virtio-mirror"; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return 42; }
    [[nodiscard]] std::uint64_t features() const override { return 1; }
    [[nodiscard]] std::vector<QueueShape> queues() const override { return {{.size = 8, .coroutines = 4}, {.size = 8}}; }
    [[nodiscard]] std::vector<std::byte> config() const override {
        return {std::byte{0x11}, std::byte{mode}, std::byte{0x33}};
    }
    void write_config(std::size_t offset, std::span<const std::byte> bytes) override {
        if (offset == 1) mode = std::to_integer<std::uint8_t>(bytes[0]) & 1;
    }

    [[nodiscard]] awaitable<void> serve(Queue& queue) override {
        for (;;) {
            Chain chain = co_await queue.pop();
            ++under_way;
            co_await host();
            --under_way;
            std::string text(chain.readable_size(), '\0');
            chain.read(0, std::as_writable_bytes(std::span(text)));
            if (text == "throw") throw std::runtime_error("the host is gone");
            if (text == "wrong") {
                queue.fail("a word that must not be");
                continue;
            }
            std::ranges::reverse(text);
            const std::size_t written = chain.write(0, std::as_bytes(std::span(text)));
            queue.push(std::move(chain), written);
        }
    }

    /// As a read of a file: once begun it can't be cancelled.
    [[nodiscard]] awaitable<void> host() {
        co_await asio::this_coro::throw_if_cancelled(false);
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        for (;;) {
            const auto seen = change.generation();
            if (!busy) break;
            co_await change.wait(seen);
        }
        co_await asio::this_coro::throw_if_cancelled(true);
        co_await asio::this_coro::reset_cancellation_state();
    }
    void set_busy(bool is_busy) {
        busy = is_busy;
        change.notify();
    }

    void reset() override {
        ++resets;
        mode = 0;
        BOOST_TEST(under_way == 0u);
    }
    void change_config() {
        mode = 1;
        config_changed();
    }
    [[nodiscard]] bool has(std::uint64_t features) const { return negotiated(features); }

    std::uint8_t mode = 0;
    bool busy = false;
    unsigned under_way = 0;
    unsigned resets = 0;
    Event change;
};

struct Fixture : MmioDriver {
    explicit Fixture(std::shared_ptr<Mirror> of = std::make_shared<Mirror>()) : MmioDriver(of), mirror(std::move(of)) {}

    static constexpr std::uint64_t requests = 0x8000;

    /// A request whose answer goes behind it.
    void ask(std::uint16_t head, std::string_view text, unsigned queue = 0) {
        const std::uint64_t at = requests + 0x100 * head + 0x1000 * queue;
        ring(queue).put_text(at, text);
        ring(queue).offer(head, {{at, static_cast<std::uint32_t>(text.size())},
                                 {at + 0x80, static_cast<std::uint32_t>(text.size()), for_device}});
    }
    [[nodiscard]] std::string answer(std::uint16_t head, std::size_t size, unsigned queue = 0) {
        return ring(queue).text_at(requests + 0x100 * head + 0x1000 * queue + 0x80, size);
    }

    std::shared_ptr<Mirror> mirror;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_driver_gets_its_answers, Fixture) {
    BOOST_TEST(read(R::device_id) == 42u);
    BOOST_TEST(offered() == (1 | feature_indirect | feature_event_index | feature_version_1 | feature_ring_reset));
    start(feature_version_1 | 1, 2);
    BOOST_TEST(read(R::status) == 0xfu);
    BOOST_TEST(mirror->has(1));
    ask(0, "abc");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
    BOOST_TEST(answer(0, 3) == "cba");
    BOOST_TEST(interrupted());
    BOOST_TEST(acknowledge() == 1u);
    BOOST_TEST(!interrupted());
    ask(2, "xy", 1);
    notify(1);
    BOOST_TEST((ring(1).take_used() == RingDriver::Used{2, 2}));
    BOOST_TEST(log.empty());
}

BOOST_FIXTURE_TEST_CASE(what_is_offered_and_notified_before_driver_ok_is_served_after_it, Fixture) {
    BOOST_REQUIRE(negotiate(feature_version_1));
    rings.push_back(std::make_unique<RingDriver>(memory, 0x1000, std::uint16_t{8}));
    set_up_queue(0, ring());
    ask(0, "early");
    notify(0);
    BOOST_TEST(!ring().take_used().has_value());
    be_ready();
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 5}));
}

BOOST_FIXTURE_TEST_CASE(chains_that_end_together_interrupt_once, Fixture) {
    start();
    for (std::uint16_t head : {0, 2, 4, 6}) ask(head, "request");
    mirror->set_busy(true);
    notify(0);
    BOOST_TEST(mirror->under_way == 4u);
    BOOST_TEST(!interrupted());
    const auto interrupts_before = interrupts();
    mirror->set_busy(false);
    poll();
    for (std::uint32_t head : {0, 2, 4, 6}) BOOST_TEST((ring().take_used() == RingDriver::Used{head, 7}));
    BOOST_TEST(interrupts() == interrupts_before + 1);
    acknowledge();
    poll();
    BOOST_TEST(interrupts() == interrupts_before + 1);
}

BOOST_FIXTURE_TEST_CASE(no_more_chains_are_under_way_than_the_device_has_coroutines, Fixture) {
    start(feature_version_1, 2);
    mirror->set_busy(true);
    for (std::uint16_t head : {0, 2, 4, 6}) ask(head, "a");
    for (std::uint16_t head : {0, 2, 4, 6}) ask(head, "b", 1);
    notify(1);
    BOOST_TEST(mirror->under_way == 1u);
    notify(0);
    BOOST_TEST(mirror->under_way == 5u);
    mirror->set_busy(false);
    poll();
    for (unsigned queue : {0, 1}) {
        for (std::uint32_t head : {0, 2, 4, 6}) BOOST_TEST((ring(queue).take_used() == RingDriver::Used{head, 1}));
    }
}

BOOST_FIXTURE_TEST_CASE(a_driver_that_wants_no_interrupt_gets_none, Fixture) {
    start();
    ring().set_available_flags(1);
    ask(0, "abc");
    notify(0);
    BOOST_TEST(ring().take_used().has_value());
    BOOST_TEST(!interrupted());
}

BOOST_FIXTURE_TEST_CASE(with_event_indices_a_batch_needs_one_notification_and_one_interrupt, Fixture) {
    start(feature_version_1 | feature_event_index);
    BOOST_TEST(ring().available_event() == 0u);
    ring().set_used_event(3);
    for (std::uint16_t head : {0, 2, 4, 6}) ask(head, "abc");
    notify(0);
    BOOST_TEST(ring().available_event() == 4u);
    BOOST_TEST(interrupts() == 1u);
}

// The driver's mistakes.

BOOST_FIXTURE_TEST_CASE(a_mistake_needs_a_reset_and_is_logged_once, Fixture) {
    start(feature_version_1, 2);
    ring().offer(0, {{0x1'0000'0000, 8}});
    notify(0);
    notify(0);
    BOOST_TEST(read(R::status) == 0x4fu);
    BOOST_TEST(acknowledge() == 2u);
    BOOST_TEST(log == std::vector<std::string>{"device virtio-mirror: the driver breaks the rules in queue 0: a buffer is "
                                               "not in the guest's memory; it has to reset the device"},
               boost::test_tools::per_element());
    // The other queue is not to blame.
    ask(0, "ab", 1);
    notify(1);
    BOOST_TEST((ring(1).take_used() == RingDriver::Used{0, 2}));
    // A guest that goes on in this way fills no log.
    start();
    ring().offer(0, {{0x1'0000'0000, 8}});
    notify(0);
    BOOST_TEST(read(R::status) == 0x4fu);
    BOOST_TEST(log.size() == 1u);
    start();
    ask(0, "abc");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
}

BOOST_FIXTURE_TEST_CASE(a_queue_that_is_not_in_memory_is_a_mistake, Fixture) {
    BOOST_REQUIRE(negotiate(feature_version_1));
    set_up_queue(0, RingDriver(memory, 0x8000'0000, 8));
    be_ready();
    BOOST_TEST(read(R::status) == 0x4fu);
    notify(0);
    BOOST_TEST(log.size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_step_out_of_order_needs_a_reset, Fixture) {
    write(R::status, 4);
    BOOST_TEST(read(R::status) == 0x40u);
    BOOST_TEST_REQUIRE(log.size() == 1u);
    BOOST_TEST(log[0].find("DRIVER_OK comes before FEATURES_OK") != std::string::npos);
    start();
    BOOST_TEST(read(R::status) == 0xfu);
}

BOOST_FIXTURE_TEST_CASE(a_device_may_find_a_request_wrong, Fixture) {
    start();
    ask(0, "wrong");
    ask(2, "abc");
    notify(0);
    BOOST_TEST(read(R::status) == 0x4fu);
    BOOST_TEST_REQUIRE(log.size() == 1u);
    BOOST_TEST(log[0].find("in queue 0: a word that must not be") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_device_that_throws_needs_a_reset_and_ends_nothing_else, Fixture) {
    start(feature_version_1, 2);
    ask(0, "throw");
    notify(0);
    BOOST_TEST(read(R::status) == 0x4fu);
    BOOST_TEST(log == std::vector<std::string>{"device virtio-mirror failed in queue 0: the host is gone"},
               boost::test_tools::per_element());
    ask(0, "ab", 1);
    notify(1);
    BOOST_TEST((ring(1).take_used() == RingDriver::Used{0, 2}));
    BOOST_TEST(!run_ended);
    start();
    ask(0, "abc");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
}

// Reset.

BOOST_FIXTURE_TEST_CASE(the_driver_waits_for_its_reset_until_nothing_is_under_way, Fixture) {
    start();
    ask(0, "abc");
    ask(2, "def");
    mirror->set_busy(true);
    notify(0);
    BOOST_TEST(mirror->under_way == 2u);
    const auto resets_before = mirror->resets;
    begin_write(R::status, 0);
    poll();
    BOOST_TEST(!write_done);
    BOOST_TEST(mirror->resets == resets_before);
    mirror->set_busy(false);
    poll();
    BOOST_TEST(write_done);
    BOOST_TEST(mirror->resets == resets_before + 1);
    BOOST_TEST(read(R::status) == 0u);
    BOOST_TEST(!ring().take_used().has_value());
    BOOST_TEST(!interrupted());
    poll();
    BOOST_TEST(!ring().take_used().has_value());
}

BOOST_FIXTURE_TEST_CASE(nothing_of_before_a_reset_reaches_a_ring_that_is_used_again, Fixture) {
    start();
    ask(0, "abc");
    mirror->set_busy(true);
    notify(0);
    begin_write(R::status, 0);
    mirror->set_busy(false);
    poll();
    start();
    notify(0);
    BOOST_TEST(ring().used_index() == 0u);
    ask(4, "xyz");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{4, 3}));
    BOOST_TEST(!ring().take_used().has_value());
}

BOOST_FIXTURE_TEST_CASE(a_reset_lowers_the_interrupt_and_needs_no_driver_before, Fixture) {
    write(R::status, 0);
    BOOST_TEST(read(R::status) == 0u);
    start();
    ask(0, "abc");
    notify(0);
    BOOST_TEST(interrupted());
    write(R::status, 0);
    BOOST_TEST(!interrupted());
    write(R::queue_select, 0);
    BOOST_TEST(read(R::queue_ready) == 0u);
    notify(0);
    BOOST_TEST(log.empty());
}

BOOST_FIXTURE_TEST_CASE(one_queue_is_reset_and_the_other_goes_on, Fixture) {
    start(feature_version_1 | feature_ring_reset, 2);
    ask(0, "abc");
    ask(0, "abc", 1);
    mirror->set_busy(true);
    notify(0);
    notify(1);
    write(R::queue_select, 0);
    begin_write(R::queue_reset, 1);
    BOOST_TEST(!write_done);
    mirror->set_busy(false);
    poll();
    BOOST_TEST(write_done);
    BOOST_TEST(read(R::queue_reset) == 0u);
    BOOST_TEST(read(R::queue_ready) == 0u);
    BOOST_TEST((ring(1).take_used() == RingDriver::Used{0, 3}));
    BOOST_TEST(ring().used_index() == 0u);
    memory.zero(0x1000, 0x1000);
    rings[0] = std::make_unique<RingDriver>(memory, 0x1000, std::uint16_t{4});
    set_up_queue(0, ring());
    ask(1, "again");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{1, 5}));
}

BOOST_FIXTURE_TEST_CASE(the_machine_s_reset_waits_for_what_is_under_way, Fixture) {
    start();
    ask(0, "abc");
    mirror->set_busy(true);
    notify(0);
    bool ended = false;
    asio::co_spawn(loop, device->before_reset(), [&ended](std::exception_ptr) { ended = true; });
    poll();
    BOOST_TEST(!ended);
    mirror->set_busy(false);
    poll();
    BOOST_TEST(ended);
    device->reset();
    BOOST_TEST(read(R::status) == 0u);
    BOOST_TEST(ring().used_index() == 0u);
    start();
    ask(0, "abc");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
}

BOOST_FIXTURE_TEST_CASE(the_end_of_the_machine_waits_for_what_is_under_way, Fixture) {
    start();
    ask(0, "abc");
    mirror->set_busy(true);
    notify(0);
    stop_run.emit(asio::cancellation_type::terminal);
    poll();
    BOOST_TEST(!run_ended);
    mirror->set_busy(false);
    poll();
    BOOST_TEST(run_ended);
    BOOST_TEST(ring().used_index() == 0u);
}

BOOST_AUTO_TEST_CASE(a_loop_may_be_destroyed_with_everything_under_way) {
    Fixture station;
    station.start(feature_version_1, 2);
    station.ask(0, "abc");
    station.ask(0, "abc", 1);
    station.mirror->set_busy(true);
    station.notify(0);
    station.notify(1);
    station.begin_write(R::status, 0);
    BOOST_TEST(!station.write_done);
}

// Pauses, configuration, state.

BOOST_FIXTURE_TEST_CASE(a_paused_machine_s_driver_gets_nothing_until_it_goes_on, Fixture) {
    start();
    ask(0, "abc");
    mirror->set_busy(true);
    notify(0);
    surroundings.gate->close();
    mirror->set_busy(false);
    ask(2, "def");
    notify(0);
    BOOST_TEST(ring().used_index() == 0u);
    BOOST_TEST(!interrupted());
    surroundings.gate->open();
    poll();
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
    BOOST_TEST((ring().take_used() == RingDriver::Used{2, 3}));
    BOOST_TEST(interrupted());
}

BOOST_FIXTURE_TEST_CASE(the_configuration_is_read_written_and_changed, Fixture) {
    BOOST_TEST(read(R::config, 4) == 0x330011u);
    write(R::config + 1, 0xff, 1);
    BOOST_TEST(read(R::config + 1, 1) == 1u);
    write(R::config + 3, 0xff, 1);  // behind its end
    write(R::config + 2, 0xffff, 2);
    BOOST_TEST(read(R::config, 4) == 0x330111u);
    start();
    BOOST_TEST(read(R::config + 1, 1) == 0u);  // the reset
    const auto generation = read(R::config_generation);
    mirror->change_config();
    BOOST_TEST(read(R::config_generation) != generation);
    BOOST_TEST(read(R::config + 1, 1) == 1u);
    BOOST_TEST(acknowledge() == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_restored_device_does_what_was_under_way_again, Fixture) {
    start(feature_version_1 | feature_event_index, 2);
    ask(0, "done");
    notify(0);
    mirror->set_busy(true);
    ask(2, "abc");
    ask(4, "def");
    notify(0);
    BOOST_TEST(mirror->under_way == 2u);
    surroundings.gate->close();
    const auto bytes = saved();

    Fixture other;
    std::array<std::byte, ram> copy{};
    memory.read(0, copy);
    other.memory.write(0, copy);
    for (const auto& at : rings)
        other.rings.push_back(std::make_unique<RingDriver>(other.memory, at->descriptors(), at->size()));
    other.restore(bytes);
    BOOST_TEST(other.interrupted());
    BOOST_TEST(other.read(R::status) == 0xfu);
    BOOST_TEST((other.ring().take_used() == RingDriver::Used{0, 4}));
    BOOST_TEST((other.ring().take_used() == RingDriver::Used{2, 3}));
    BOOST_TEST((other.ring().take_used() == RingDriver::Used{4, 3}));
    BOOST_TEST(other.answer(4, 3) == "fed");
    BOOST_TEST((other.saved() != bytes));

    // And again where one is already at work, which has nothing of its own to give back.
    other.ring().offer(0);
    other.mirror->set_busy(true);
    other.notify(0);
    other.memory.write(0, copy);
    other.restore(bytes);
    other.mirror->set_busy(false);
    other.poll();
    BOOST_TEST(other.ring().used_index() == 3u);
}

BOOST_FIXTURE_TEST_CASE(damaged_state_is_refused_or_gives_a_device_that_works, Fixture) {
    start(feature_version_1 | feature_event_index, 2);
    ask(0, "abc");
    mirror->set_busy(true);
    notify(0);
    const auto bytes = saved();
    mirror->set_busy(false);
    poll();
    std::mt19937 random(20261129);  // NOLINT: the same sequence each time
    unsigned refused = 0;
    for (int round = 0; round < 3000; ++round) {
        auto damaged = bytes;
        for (unsigned changes = 1 + random() % 3; changes > 0; --changes) {
            damaged[random() % damaged.size()] = static_cast<std::byte>(random());
        }
        try {
            restore(damaged);
            notify(random() % 2);
            static_cast<void>(read(R::status));
        } catch (const Error& error) {
            BOOST_REQUIRE(error.kind() == ErrorKind::usage);
            ++refused;
        }
    }
    BOOST_TEST(refused > 0u);
    start();
    ask(0, "abc");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
}

// The first device.

BOOST_AUTO_TEST_CASE(the_entropy_device_fills_what_it_gets_from_the_machine_s_source) {
    MmioDriver driver(make_rng());
    BOOST_TEST(driver.read(R::device_id) == 4u);
    driver.start();
    driver.ring().offer(1, {{0x8000, 3, for_device}, {0x9000, 2, for_device}});
    driver.notify(0);
    BOOST_TEST((driver.ring().take_used() == RingDriver::Used{1, 5}));
    BOOST_TEST(driver.ring().text_at(0x8000, 4) == std::string("\0\1\2\0", 4));
    BOOST_TEST(driver.ring().text_at(0x9000, 3) == std::string("\3\4\0", 3));
    // A request that has nothing to fill is answered with nothing.
    driver.ring().offer(1, {{0x8000, 3}});
    driver.notify(0);
    BOOST_TEST((driver.ring().take_used() == RingDriver::Used{1, 0}));
    driver.ring().offer(1, {{0x10000, 0x18000, for_device}});
    driver.notify(0);
    BOOST_TEST((driver.ring().take_used() == RingDriver::Used{1, 0x10000}));
    BOOST_TEST(driver.ring().text_at(0x20000, 1) == std::string(1, '\0'));
}
