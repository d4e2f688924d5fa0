// The console device, with a chardev in memory.
#define BOOST_TEST_MODULE virtio_console
#include <boost/test/unit_test.hpp>

#include <string>

#include "../devices/fake_chardev.hpp"
#include "mmio_driver.hpp"

using namespace asyncvm;
using namespace asyncvm::virtio;

namespace {

constexpr std::uint64_t output_at = 0x8000;
constexpr std::uint64_t input_at = 0x9000;

struct Fixture : MmioDriver {
    explicit Fixture(std::shared_ptr<FakeChardev> with = std::make_shared<FakeChardev>(16))
        : MmioDriver(make_console(with)), chardev(std::move(with)) {}

    void send(std::uint16_t head, std::string_view text) {
        ring(1).put_text(output_at + 0x100 * head, text);
        ring(1).offer(head, {{output_at + 0x100 * head, static_cast<std::uint32_t>(text.size())}});
        notify(1);
    }
    void offer_buffer(std::uint16_t head, std::uint32_t size) {
        ring(0).offer(head, {{input_at + 0x100 * head, size, RingDriver::writes}});
        notify(0);
    }
    void type(std::string_view text) {
        chardev->type(text);
        poll();
    }
    [[nodiscard]] std::string take() {
        std::string text = chardev->take();
        poll();
        return text;
    }

    std::shared_ptr<FakeChardev> chardev;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(what_the_driver_sends_reaches_the_chardev_before_it_is_given_back, Fixture) {
    BOOST_TEST(read(MmioRegisters::device_id) == 3u);
    start(feature_version_1, 2);
    send(0, "hello ");
    BOOST_TEST((ring(1).take_used() == RingDriver::Used{0, 0}));
    send(1, "a text that is longer than the queue");
    BOOST_TEST(!ring(1).take_used().has_value());
    std::string all = take();
    BOOST_TEST(!ring(1).take_used().has_value());
    for (std::string more = take(); !more.empty(); more = take()) all += more;
    BOOST_TEST(all == "hello a text that is longer than the queue");
    BOOST_TEST((ring(1).take_used() == RingDriver::Used{1, 0}));
}

BOOST_FIXTURE_TEST_CASE(input_waits_for_a_buffer_and_a_buffer_for_input, Fixture) {
    start(feature_version_1, 2);
    type("abc");
    BOOST_TEST(ring(0).used_index() == 0u);
    offer_buffer(0, 2);
    BOOST_TEST((ring(0).take_used() == RingDriver::Used{0, 2}));
    BOOST_TEST(ring(0).text_at(input_at, 2) == "ab");
    offer_buffer(1, 8);
    BOOST_TEST((ring(0).take_used() == RingDriver::Used{1, 1}));
    acknowledge();
    offer_buffer(2, 8);
    BOOST_TEST(!ring(0).take_used().has_value());
    BOOST_TEST(!interrupted());
    chardev->send_break();
    type("de");
    BOOST_TEST((ring(0).take_used() == RingDriver::Used{2, 2}));
    BOOST_TEST(ring(0).text_at(input_at + 0x200, 2) == "de");
    BOOST_TEST(interrupted());
}

BOOST_FIXTURE_TEST_CASE(the_driver_knows_the_terminals_size_and_hears_of_a_change, Fixture) {
    constexpr std::uint64_t feature_size = 1;
    BOOST_TEST((offered() & 3) == feature_size);
    chardev->set_terminal_size({.columns = 80, .rows = 25});
    poll();
    start(feature_version_1 | feature_size, 2);
    // Linux does not look before it is told.
    BOOST_TEST(acknowledge() == DeviceState::config_change);
    BOOST_TEST(read(MmioRegisters::config, 2) == 80u);
    BOOST_TEST(read(MmioRegisters::config + 2, 2) == 25u);
    type("a key changes nothing");
    BOOST_TEST(acknowledge() == 0u);
    chardev->set_terminal_size({.columns = 300, .rows = 50});
    poll();
    BOOST_TEST(interrupted());
    BOOST_TEST(acknowledge() == DeviceState::config_change);
    BOOST_TEST(read(MmioRegisters::config, 2) == 300u);
    BOOST_TEST(read(MmioRegisters::config + 2, 2) == 50u);
}

BOOST_FIXTURE_TEST_CASE(a_paused_machine_hears_of_a_size_when_it_goes_on, Fixture) {
    start(feature_version_1 | 1, 2);
    surroundings.gate->close();
    chardev->set_terminal_size({.columns = 80, .rows = 25});
    poll();
    BOOST_TEST(!interrupted());
    surroundings.gate->open();
    poll();
    BOOST_TEST(acknowledge() == DeviceState::config_change);
}

BOOST_FIXTURE_TEST_CASE(a_paused_machine_takes_no_input, Fixture) {
    start(feature_version_1, 2);
    offer_buffer(0, 8);
    surroundings.gate->close();
    type("abc");
    BOOST_TEST(chardev->unread() == 3u);
    surroundings.gate->open();
    poll();
    BOOST_TEST((ring(0).take_used() == RingDriver::Used{0, 3}));
}

BOOST_FIXTURE_TEST_CASE(a_reset_does_not_wait_for_a_client, Fixture) {
    start(feature_version_1, 2);
    offer_buffer(0, 8);
    send(0, "a text that is longer than the queue");
    write(MmioRegisters::status, 0);
    BOOST_TEST(read(MmioRegisters::status) == 0u);
    start(feature_version_1, 2);
    BOOST_TEST(take() == "a text that is l");
    send(0, "new");
    BOOST_TEST(take() == "new");
    type("xyz");
    BOOST_TEST(ring(0).used_index() == 0u);
    offer_buffer(3, 8);
    BOOST_TEST((ring(0).take_used() == RingDriver::Used{3, 3}));
}

BOOST_FIXTURE_TEST_CASE(a_restored_console_goes_on_in_the_middle_of_a_text, Fixture) {
    start(feature_version_1, 2);
    send(0, "0123456789abcdefghijk");
    BOOST_TEST(ring(1).used_index() == 0u);
    const auto bytes = saved();
    std::array<std::byte, ram> copy{};

    Fixture other;
    BOOST_TEST(memory.read(0, copy) == ram);
    other.memory.write(0, copy);
    for (const auto& at : rings) {
        other.rings.push_back(std::make_unique<RingDriver>(other.memory, at->descriptors(), at->size()));
    }
    other.restore(bytes);
    BOOST_TEST(other.take() == "ghijk");
    BOOST_TEST((other.ring(1).take_used() == RingDriver::Used{0, 0}));
}

BOOST_FIXTURE_TEST_CASE(what_is_sent_right_before_the_end_reaches_the_chardev, Fixture) {
    start(feature_version_1, 2);
    for (const std::uint16_t head : {0, 1, 2}) {
        ring(1).put_text(output_at + 0x100 * head, "abc");
        ring(1).offer(head, {{output_at + 0x100 * head, 3}});
    }
    asio::co_spawn(loop, device->rung(1), [](std::exception_ptr) {});
    stop_run.emit(asio::cancellation_type::terminal);
    poll();
    BOOST_TEST(run_ended);
    BOOST_TEST(take() == "abcabcabc");
}

BOOST_FIXTURE_TEST_CASE(a_chardev_that_takes_nothing_does_not_keep_the_machine_from_its_end, Fixture) {
    start(feature_version_1, 2);
    send(0, "a text that is longer than the queue");
    stop_run.emit(asio::cancellation_type::terminal);
    poll();
    BOOST_TEST(!run_ended);
    loop.restart();
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!run_ended && std::chrono::steady_clock::now() < patience) loop.run_one_until(patience);
    BOOST_TEST(run_ended);
}
