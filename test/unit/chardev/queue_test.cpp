#define BOOST_TEST_MODULE chardev_queue
#include <chardev/queue.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

using namespace asyncvm;
using Reader = Queue::Reader;

namespace {

std::size_t put(Queue& queue, std::string_view text) { return queue.write_some(std::as_bytes(std::span(text))); }

std::string get(Queue& queue, std::size_t size) {
    std::string text(size, '\0');
    text.resize(queue.read_some(std::as_writable_bytes(std::span(text))));
    return text;
}

void take_all(Queue& queue) {
    OutputLog::Batch batch;
    do {
        queue.next(Reader::client, 1 << 20, batch);
        queue.take(Reader::client, batch.position + batch.size);
    } while (!queue.arm(Reader::client));
}

}  // namespace

BOOST_AUTO_TEST_CASE(nobody_is_woken_while_no_reader_waits) {
    Queue queue({});
    for (int i = 0; i < 100; ++i) put(queue, "x");
    BOOST_TEST(queue.output(Reader::client).generation() == 0u);
}

BOOST_AUTO_TEST_CASE(a_waiting_reader_is_woken_once_for_a_burst) {
    Queue queue({});
    take_all(queue);
    for (int i = 0; i < 100; ++i) put(queue, "x");
    BOOST_TEST(queue.output(Reader::client).generation() == 1u);
    take_all(queue);
    for (int i = 0; i < 100; ++i) put(queue, "x");
    BOOST_TEST(queue.output(Reader::client).generation() == 2u);
}

BOOST_AUTO_TEST_CASE(a_reader_that_does_not_wait_is_woken_by_a_full_queue) {
    Queue queue({.capacity = 4});
    for (int i = 0; i < 3; ++i) put(queue, "x");
    BOOST_TEST(queue.output(Reader::client).generation() == 0u);
    put(queue, "x");
    BOOST_TEST(queue.output(Reader::client).generation() == 1u);
}

BOOST_AUTO_TEST_CASE(to_ask_for_news_when_there_is_some_is_refused) {
    Queue queue({});
    BOOST_TEST(queue.arm(Reader::client));
    put(queue, "x");
    BOOST_TEST(!queue.arm(Reader::client));
    put(queue, "x");
    BOOST_TEST(queue.output(Reader::client).generation() == 1u);
}

BOOST_AUTO_TEST_CASE(the_device_hears_when_a_full_queue_has_room_again_and_not_before) {
    Queue queue({.capacity = 8});
    Event changed;
    queue.add_listener(changed);
    BOOST_TEST(put(queue, "0123456789") == 8u);
    BOOST_TEST(!queue.writable());
    queue.take(Reader::client, 3);
    BOOST_TEST(!queue.writable());
    BOOST_TEST(changed.generation() == 0u);
    queue.take(Reader::client, 4);
    BOOST_TEST(queue.writable());
    BOOST_TEST(changed.generation() == 1u);
    queue.take(Reader::client, 8);
    BOOST_TEST(changed.generation() == 1u);
    queue.remove_listener(changed);
    queue.set_connected(true);
    BOOST_TEST(changed.generation() == 1u);
}

BOOST_AUTO_TEST_CASE(input_is_bounded_and_the_loop_is_woken_when_half_of_it_is_read) {
    Queue queue({});
    Event changed;
    queue.add_listener(changed);
    const std::string text(Queue::input_capacity, 'k');
    BOOST_TEST(queue.input_room() == Queue::input_capacity);
    queue.push_input(std::as_bytes(std::span(text)));
    BOOST_TEST(queue.readable());
    BOOST_TEST(changed.generation() == 1u);
    BOOST_TEST(queue.input_room() == 0u);
    BOOST_TEST(get(queue, 1000).size() == 1000u);
    BOOST_TEST(queue.input().generation() == 0u);
    BOOST_TEST(get(queue, Queue::input_capacity / 2).size() == Queue::input_capacity / 2);
    BOOST_TEST(queue.input().generation() == 1u);
    BOOST_TEST((get(queue, 1 << 20) + std::string(1000 + Queue::input_capacity / 2, 'k') == text));
    BOOST_TEST(!queue.readable());
}

BOOST_AUTO_TEST_CASE(a_break_has_its_place_in_the_input) {
    Queue queue({});
    Event changed;
    queue.add_listener(changed);
    const auto type = [&](std::string_view text) { queue.push_input(std::as_bytes(std::span(text))); };
    queue.push_break();
    BOOST_TEST(changed.generation() == 1u);
    BOOST_TEST(queue.readable());
    BOOST_TEST(queue.take_break());
    BOOST_TEST(!queue.take_break());
    BOOST_TEST(!queue.readable());
    type("ab");
    queue.push_break();
    queue.push_break();
    type("c");
    BOOST_TEST(!queue.take_break());
    BOOST_TEST(get(queue, 10) == "ab");
    BOOST_TEST(queue.take_break());
    BOOST_TEST(queue.take_break());
    BOOST_TEST(get(queue, 10) == "c");
    BOOST_TEST(!queue.readable());
}

BOOST_AUTO_TEST_CASE(a_break_that_comes_right_after_the_device_has_asked_for_one_is_not_lost_with_its_read) {
    Queue queue({});
    BOOST_TEST(!queue.take_break());
    queue.push_break();
    queue.push_input(std::as_bytes(std::span(std::string_view("a"))));
    BOOST_TEST(get(queue, 10).empty());
    BOOST_TEST(queue.readable());
    // Nor if the device's bytes come from another queue by then.
    Queue next({});
    queue.move_input_to(next);
    BOOST_TEST(get(next, 10).empty());
    BOOST_TEST(next.take_break());
    BOOST_TEST(get(next, 10) == "a");
}

BOOST_AUTO_TEST_CASE(a_device_that_never_asks_for_a_break_loses_it) {
    Queue queue({});
    const auto type = [&](std::string_view text) { queue.push_input(std::as_bytes(std::span(text))); };
    type("d");
    queue.push_break();
    type("e");
    BOOST_TEST(get(queue, 10) == "d");
    BOOST_TEST(get(queue, 10) == "e");
    BOOST_TEST(!queue.readable());
}

BOOST_AUTO_TEST_CASE(a_client_is_heard_once_for_each_thing_that_it_sends) {
    Queue queue({});
    const std::array<std::byte, 10> data{};
    queue.push_input(data);
    queue.push_break();
    BOOST_TEST(queue.heard() == 2u);
    queue.remove_source();
    queue.set_source([](std::span<std::byte>) { return -EAGAIN; });
    std::array<std::byte, 20> got{};
    BOOST_TEST(queue.read_some(got) == 10u);
    BOOST_TEST(queue.take_break());
    BOOST_TEST(queue.read_some(got) == 0u);
    BOOST_TEST(queue.heard() == 2u);
    queue.source_refilled();
    BOOST_TEST(queue.heard() == 3u);
}

BOOST_AUTO_TEST_CASE(input_keeps_its_order_across_the_end_of_the_ring) {
    Queue queue({});
    std::string expected;
    std::string got;
    for (int i = 0; i < 3000; ++i) {
        const auto text = std::to_string(i) + std::string(static_cast<std::size_t>(i) % 90, 'x');
        queue.push_input(std::as_bytes(std::span(text)));
        expected += text;
        got += get(queue, 1 + static_cast<std::size_t>(i) % 97);
    }
    got += get(queue, 1 << 20);
    BOOST_TEST((got == expected));
    BOOST_TEST(queue.input_taken() == expected.size());
}

BOOST_AUTO_TEST_CASE(a_closed_queue_takes_everything_and_gives_nothing) {
    Queue queue({.capacity = 2});
    Event changed;
    queue.add_listener(changed);
    put(queue, "abc");
    BOOST_TEST(!queue.writable());
    queue.set_connected(true);
    queue.close();
    BOOST_TEST(queue.writable());
    BOOST_TEST(!queue.connected());
    BOOST_TEST(changed.generation() == 2u);
    BOOST_TEST(put(queue, "abc") == 3u);
    queue.push_input(std::as_bytes(std::span("x")));
    BOOST_TEST(!queue.readable());
}

BOOST_AUTO_TEST_CASE(a_source_comes_behind_the_input_that_was_there_before) {
    Queue queue({});
    const std::string text(Queue::input_capacity + 10, 'a');
    queue.push_leftover(std::as_bytes(std::span(text)));
    std::string source = "bcd";
    queue.set_source([&source](std::span<std::byte> data) -> long {
        const auto part = std::min(data.size(), source.size());
        std::memcpy(data.data(), source.data(), part);
        source.erase(0, part);
        return static_cast<long>(part);
    });
    std::string got;
    for (int i = 0; i < 10 && got.size() < text.size() + 3; ++i) got += get(queue, Queue::input_capacity + 100);
    BOOST_TEST((got == text + "bcd"));
}

BOOST_AUTO_TEST_CASE(another_queue_gets_what_nobody_has_taken_and_what_comes_late) {
    Queue from({});
    Queue to({.capacity = 4});
    put(to, "1");
    put(from, "23");
    from.push_input(std::as_bytes(std::span(std::string_view("ab"))));
    from.push_break();
    from.push_input(std::as_bytes(std::span(std::string_view("c"))));
    to.push_input(std::as_bytes(std::span(std::string_view("x"))));
    from.move_output_to(to);
    from.move_input_to(to);
    BOOST_TEST(put(from, "45") == 1u);  // by a device that has not seen it yet
    BOOST_TEST(get(from, 10).empty());
    BOOST_TEST(get(to, 10) == "xab");
    BOOST_TEST(to.take_break());
    BOOST_TEST(get(to, 10) == "c");
    BOOST_TEST(to.end() == 4u);
    // Back again.
    from.reconfigure({});
    BOOST_TEST(put(from, "6") == 1u);
    BOOST_TEST(to.end() == 4u);
}
