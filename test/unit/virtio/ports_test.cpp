// The device with virtio ports: what it and its driver tell each other, and the streams.
#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include <string>

#include "../devices/fake_chardev.hpp"
#include "mmio_driver.hpp"

using namespace asyncvm;
using namespace asyncvm::virtio;

namespace {

constexpr std::uint64_t several_ports = 2;
constexpr std::uint64_t messages_at = 0x10000, orders_at = 0x11000, text_at = 0x12000, typed_at = 0x13000;
// Of the events of control messages.
constexpr char ready = 0, add = 1, port_ready = 3, opened = 6, name = 7;

std::string message(char port, char event, char value, const std::string& text = {}) {
    return std::string{port, 0, 0, 0, event, 0, value, 0} + text;
}

/// Ports "one" (nobody at its other end) and "two".
struct PortsFixture {
    std::shared_ptr<FakeChardev> one = std::make_shared<FakeChardev>(16, false);
    std::shared_ptr<FakeChardev> two = std::make_shared<FakeChardev>(16, true);
    MmioDriver driver{make_ports({{"one", one}, {"two", two}})};

    void start(std::uint64_t features = several_ports) {
        driver.start(feature_version_1 | features, 8);
        for (std::uint16_t i = 0; i < 8; ++i) offer_message_buffer(i);
    }
    void offer_message_buffer(std::uint16_t head, std::uint32_t size = 0x80) {
        driver.ring(2).offer(head, {{messages_at + 0x80u * head, size, RingDriver::writes}});
        driver.notify(2);
    }
    /// The next message of the device; empty: there is none.
    std::string told() {
        const auto used = driver.ring(2).take_used();
        if (!used) return {};
        const auto text = driver.ring(2).text_at(messages_at + 0x80u * used->head, used->written);
        offer_message_buffer(static_cast<std::uint16_t>(used->head));
        return text;
    }
    void say(const std::string& text) {
        driver.ring(3).put_text(orders_at, text);
        driver.ring(3).offer(0, {{orders_at, static_cast<std::uint32_t>(text.size())}});
        driver.notify(3);
        const bool heard = driver.ring(3).take_used().has_value();
        BOOST_TEST(heard == (text.size() >= 8));
    }
    /// Until both ports can be used.
    void set_up() {
        start();
        say(message(0, ready, 1));
        say(message(1, port_ready, 1));
        say(message(2, port_ready, 1));
        while (!told().empty()) continue;
    }
    void write(unsigned port, const std::string& text) {
        auto& ring = driver.ring(2 * port + 3);
        ring.put_text(text_at + 0x100 * port, text);
        ring.offer(0, {{text_at + 0x100 * port, static_cast<std::uint32_t>(text.size())}});
        driver.notify(2 * port + 3);
    }
    void want_input(unsigned port) {
        driver.ring(2 * port + 2).offer(0, {{typed_at + 0x100 * port, 16, RingDriver::writes}});
        driver.notify(2 * port + 2);
    }
    std::string input(unsigned port) {
        const auto used = driver.ring(2 * port + 2).take_used();
        return used ? driver.ring().text_at(typed_at + 0x100 * port, used->written) : std::string();
    }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_driver_hears_of_each_port_then_of_its_name_then_who_is_there, PortsFixture) {
    BOOST_TEST(driver.read(MmioRegisters::device_id) == 3u);
    BOOST_TEST((driver.offered() & 3) == several_ports);
    BOOST_TEST(driver.read(MmioRegisters::config + 4) == 3u);
    start();
    BOOST_TEST(told().empty());
    say(message(0, ready, 1));
    BOOST_TEST(told() == message(1, add, 1));
    BOOST_TEST(told() == message(2, add, 1));
    BOOST_TEST(told().empty());
    say(message(2, port_ready, 1));
    BOOST_TEST(told() == message(2, name, 1, "two"));
    BOOST_TEST(told() == message(2, opened, 1));
    BOOST_TEST(told().empty());
    say(message(1, port_ready, 1));
    BOOST_TEST(told() == message(1, name, 1, "one"));
    BOOST_TEST(told().empty());
}

BOOST_FIXTURE_TEST_CASE(a_driver_that_fails_to_set_up_a_port_hears_no_more_of_it, PortsFixture) {
    start();
    say(message(0, ready, 0));
    BOOST_TEST(told().empty());
    say(message(0, ready, 1));
    while (!told().empty()) continue;
    say(message(2, port_ready, 0));
    two->set_connected(false);
    driver.poll();
    BOOST_TEST(told().empty());
}

BOOST_FIXTURE_TEST_CASE(the_driver_hears_of_clients_that_come_and_go, PortsFixture) {
    set_up();
    one->set_connected(true);
    driver.poll();
    BOOST_TEST(told() == message(1, opened, 1));
    one->set_connected(false);
    two->set_connected(false);
    driver.poll();
    BOOST_TEST(told() == message(1, opened, 0));
    BOOST_TEST(told() == message(2, opened, 0));
    BOOST_TEST(told().empty());
}

BOOST_FIXTURE_TEST_CASE(the_driver_of_a_paused_machine_hears_the_last_of_the_news_when_it_goes_on, PortsFixture) {
    set_up();
    driver.surroundings.gate->close();
    one->set_connected(true);
    two->set_connected(false);
    driver.poll();
    two->set_connected(true);
    driver.poll();
    BOOST_TEST(told().empty());
    driver.surroundings.gate->open();
    driver.poll();
    BOOST_TEST(told() == message(1, opened, 1));
    BOOST_TEST(told().empty());
}

BOOST_FIXTURE_TEST_CASE(what_a_port_sends_waits_for_its_own_stream_only, PortsFixture) {
    set_up();
    write(1, "a text that is longer than the queue");
    write(2, "short");
    BOOST_TEST(two->take() == "short");
    BOOST_TEST(driver.ring(7).take_used().has_value());
    BOOST_TEST(!driver.ring(5).take_used().has_value());
    std::string all;
    for (std::string more = one->take(); !more.empty(); more = one->take()) {
        all += more;
        driver.poll();
    }
    BOOST_TEST(all == "a text that is longer than the queue");
    BOOST_TEST(driver.ring(5).take_used().has_value());
}

BOOST_FIXTURE_TEST_CASE(input_waits_until_a_program_of_the_guest_has_opened_the_port, PortsFixture) {
    set_up();
    want_input(1);
    want_input(2);
    two->type("early");
    driver.poll();
    BOOST_TEST(two->unread() == 5u);
    say(message(2, opened, 1));
    BOOST_TEST(input(2) == "early");
    BOOST_TEST(input(1).empty());
    say(message(2, opened, 0));
    want_input(2);
    two->type("later");
    driver.poll();
    BOOST_TEST(two->unread() == 5u);
    say(message(2, opened, 1));
    BOOST_TEST(input(2) == "later");
}

BOOST_FIXTURE_TEST_CASE(a_reset_forgets_what_was_told_and_who_had_opened_what, PortsFixture) {
    set_up();
    say(message(2, opened, 1));
    start();
    BOOST_TEST(told().empty());
    want_input(2);
    two->type("x");
    driver.poll();
    BOOST_TEST(two->unread() == 1u);
    say(message(0, ready, 1));
    BOOST_TEST(told() == message(1, add, 1));
}

BOOST_FIXTURE_TEST_CASE(a_restored_device_tells_what_has_changed_and_nothing_twice, PortsFixture) {
    set_up();
    say(message(2, opened, 1));
    write(2, "0123456789abcdefghijk");
    const auto bytes = driver.saved();
    std::array<std::byte, MmioDriver::ram> copy{};
    BOOST_TEST(driver.memory.read(0, copy) == copy.size());

    PortsFixture other;
    other.driver.memory.write(0, copy);
    for (const auto& at : driver.rings) {
        other.driver.rings.push_back(std::make_unique<RingDriver>(other.driver.memory, at->descriptors(), at->size()));
    }
    const auto already = driver.ring(2).used_index();
    other.two->set_connected(false);
    other.two->type("typed");
    other.driver.restore(bytes);
    BOOST_TEST(other.two->take() == "ghijk");
    BOOST_TEST(other.driver.ring(2).used_index() == already + 1u);
    other.want_input(2);
    BOOST_TEST(other.input(2) == "typed");
}

BOOST_FIXTURE_TEST_CASE(messages_that_make_no_sense_are_ignored_or_need_a_reset, PortsFixture) {
    set_up();
    for (const char port : {0, 3, 127}) {
        for (const char event : {port_ready, opened, name, char{99}}) say(message(port, event, 1));
    }
    BOOST_TEST(told().empty());
    BOOST_TEST(driver.log.empty());
    say("short");
    BOOST_TEST((driver.read(MmioRegisters::status) & DeviceState::needs_reset_bit) != 0u);
    BOOST_TEST(driver.log.size() == 1u);

    driver.start(feature_version_1 | several_ports, 8);
    offer_message_buffer(0, 7);
    say(message(0, ready, 1));
    BOOST_TEST((driver.read(MmioRegisters::status) & DeviceState::needs_reset_bit) != 0u);
}

BOOST_FIXTURE_TEST_CASE(a_driver_of_one_port_has_a_console_that_leads_nowhere, PortsFixture) {
    start(0);
    driver.ring(1).put_text(text_at, "hello");
    driver.ring(1).offer(0, {{text_at, 5}});
    driver.notify(1);
    BOOST_TEST(driver.ring(1).take_used().has_value());
    BOOST_TEST(one->take().empty());
    BOOST_TEST(two->take().empty());
}

BOOST_AUTO_TEST_CASE(a_device_without_ports_can_not_be) {
    BOOST_CHECK_THROW(static_cast<void>(make_ports({})), Error);
    const std::vector<Port> too_many(most_ports + 1, Port{"a", std::make_shared<FakeChardev>()});
    BOOST_CHECK_THROW(static_cast<void>(make_ports(too_many)), Error);
}
