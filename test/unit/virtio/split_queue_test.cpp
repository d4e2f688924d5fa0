// The device's side of a split virtqueue.
#include "virtio/split_queue.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <limits>
#include <string>

#include "ring_driver.hpp"

using namespace asyncvm;
using namespace asyncvm::virtio;

namespace {

constexpr std::uint64_t ram = 0x10000;
constexpr std::uint64_t data_at = 0x8000;
constexpr std::uint64_t table_at = 0x4000;
constexpr std::uint16_t writes = RingDriver::writes;

struct Fixture {
    [[nodiscard]] SplitQueue::Setup setup(bool event_index = false) const {
        return {.size = driver.size(),
                .descriptors = driver.descriptors(),
                .available = driver.available(),
                .used = driver.used(),
                .indirect = true,
                .event_index = event_index};
    }

    /// What pop() says of one chain of these buffers, which `more` may spoil.
    [[nodiscard]] Mistake mistake_of(std::vector<RingDriver::Buffer> buffers) {
        SplitQueue queue(memory, setup());
        driver.offer(0, std::move(buffers));
        BOOST_TEST(!queue.pop().has_value());
        BOOST_TEST(!queue.has_more());
        return queue.mistake();
    }

    GuestMemory memory{ram};
    RingDriver driver{memory, 0x1000, 8};
};

std::string text_of(std::span<const std::byte> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_chain_has_the_buffers_of_the_driver_in_their_order, Fixture) {
    SplitQueue queue(memory, setup());
    BOOST_TEST((queue.mistake() == Mistake::none));
    BOOST_TEST(!queue.pop().has_value());
    driver.put_text(data_at, "headbody");
    driver.offer(3, {{data_at, 4}, {data_at + 4, 4}, {data_at + 0x100, 6, writes}, {data_at + 0x200, 1, writes}});
    auto chain = queue.pop();
    BOOST_TEST_REQUIRE(chain.has_value());
    BOOST_TEST(chain->readable().size() == 2u);
    BOOST_TEST(text_of(chain->readable()[0]) == "head");
    BOOST_TEST(text_of(chain->readable()[1]) == "body");
    BOOST_TEST(chain->readable_size() == 8u);
    BOOST_TEST(chain->writable().size() == 2u);
    BOOST_TEST(chain->writable_size() == 7u);
    BOOST_TEST(!queue.pop().has_value());

    BOOST_TEST(!driver.take_used().has_value());
    queue.push(std::move(*chain), 5);
    BOOST_TEST((driver.take_used() == RingDriver::Used{3, 5}));
    BOOST_TEST(!driver.take_used().has_value());
}

BOOST_FIXTURE_TEST_CASE(a_chain_is_read_and_written_across_its_buffers, Fixture) {
    SplitQueue queue(memory, setup());
    driver.put_text(data_at, "abcdef");
    driver.offer(0, {{data_at, 2}, {data_at + 2, 4}, {data_at + 0x100, 3, writes}, {data_at + 0x200, 2, writes}});
    auto chain = queue.pop().value();
    std::array<std::byte, 8> copy{};
    BOOST_TEST(chain.read(1, std::span(copy).first(3)) == 3u);
    BOOST_TEST(text_of(std::span(copy).first(3)) == "bcd");
    BOOST_TEST(chain.read(4, copy) == 2u);
    BOOST_TEST(chain.read(6, copy) == 0u);
    BOOST_TEST(chain.read(std::numeric_limits<std::uint64_t>::max(), copy) == 0u);
    BOOST_TEST(chain.write(1, std::as_bytes(std::span(std::string_view("WXYZ!")))) == 4u);
    BOOST_TEST(driver.text_at(data_at + 0x101, 2) == "WX");
    BOOST_TEST(driver.text_at(data_at + 0x200, 3) == std::string("YZ\0", 3));
}

BOOST_FIXTURE_TEST_CASE(chains_are_given_back_in_the_order_of_the_device_and_the_indices_wrap, Fixture) {
    SplitQueue queue(memory, setup());
    for (unsigned round = 0; round < 40'000; ++round) {
        driver.offer(1, {{data_at, 4}});
        driver.offer(2, {{data_at, 4, writes}});
        auto first = queue.pop();
        auto second = queue.pop();
        BOOST_REQUIRE(first && second);
        queue.push(std::move(*second), 4);
        queue.push(std::move(*first), 0);
        BOOST_REQUIRE((driver.take_used() == RingDriver::Used{2, 4}));
        BOOST_REQUIRE((driver.take_used() == RingDriver::Used{1, 0}));
    }
    BOOST_TEST((queue.mistake() == Mistake::none));
}

BOOST_FIXTURE_TEST_CASE(an_indirect_table_follows_direct_buffers, Fixture) {
    SplitQueue queue(memory, setup());
    driver.put_descriptor(table_at, 0, {data_at + 8, 8, RingDriver::next, 2});
    driver.put_descriptor(table_at, 2, {data_at + 16, 8, writes, 0});
    driver.offer(5, {{data_at, 8}, {table_at, 48, RingDriver::indirect}});
    const auto chain = queue.pop();
    BOOST_TEST_REQUIRE(chain.has_value());
    BOOST_TEST(chain->readable().size() == 2u);
    BOOST_TEST(chain->writable().size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(an_indirect_table_may_have_more_buffers_than_the_queue, Fixture) {
    SplitQueue queue(memory, setup());
    for (std::uint16_t i = 0; i < 20; ++i) {
        const std::uint16_t flags = i < 19 ? RingDriver::next : 0;
        driver.put_descriptor(table_at, i, {data_at, 1, flags, static_cast<std::uint16_t>(i + 1)});
    }
    driver.offer(0, {{table_at, 20 * 16, RingDriver::indirect}});
    BOOST_TEST(queue.pop().value().readable().size() == 20u);
}

// What the driver does wrong.

BOOST_FIXTURE_TEST_CASE(a_loop_of_descriptors_is_a_mistake, Fixture) {
    driver.put_descriptor(driver.descriptors(), 1, {data_at, 4, RingDriver::next, 1});
    SplitQueue queue(memory, setup());
    driver.offer(1);
    BOOST_TEST(!queue.pop().has_value());
    BOOST_TEST((queue.mistake() == Mistake::loop));
    // Nothing more comes, right or wrong.
    driver.offer(0, {{data_at, 4}});
    BOOST_TEST(!queue.pop().has_value());
}

BOOST_FIXTURE_TEST_CASE(a_loop_in_an_indirect_table_is_a_mistake, Fixture) {
    driver.put_descriptor(table_at, 0, {data_at, 4, RingDriver::next, 1});
    driver.put_descriptor(table_at, 1, {data_at, 4, RingDriver::next, 0});
    BOOST_TEST((mistake_of({{table_at, 32, RingDriver::indirect}}) == Mistake::loop));
}

BOOST_FIXTURE_TEST_CASE(a_very_long_indirect_chain_is_a_mistake, Fixture) {
    GuestMemory large(1 << 20);
    RingDriver there(large, 0x1000, 8);
    for (unsigned i = 0; i < 1025; ++i) {
        const std::uint16_t flags = i < 1024 ? RingDriver::next : 0;
        there.put_descriptor(0x10000, i, {data_at, 1, flags, static_cast<std::uint16_t>(i + 1)});
    }
    there.offer(0, {{0x10000, 1025 * 16, RingDriver::indirect}});
    SplitQueue queue(large, setup());
    BOOST_TEST(!queue.pop().has_value());
    BOOST_TEST((queue.mistake() == Mistake::loop));
}

BOOST_FIXTURE_TEST_CASE(a_buffer_has_to_be_in_memory, Fixture) {
    BOOST_TEST((mistake_of({{ram, 1}}) == Mistake::buffer_address));
    BOOST_TEST((mistake_of({{ram - 4, 5}}) == Mistake::buffer_address));
    BOOST_TEST((mistake_of({{~0ULL - 3, 8}}) == Mistake::buffer_address));
    BOOST_TEST((mistake_of({{~0ULL, 0xffffffff, writes}}) == Mistake::buffer_address));
    SplitQueue queue(memory, setup());
    driver.offer(0, {{ram - 4, 4}});
    while (queue.pop()) {
    }
}

BOOST_FIXTURE_TEST_CASE(the_last_byte_of_memory_is_a_buffer, Fixture) {
    SplitQueue queue(memory, setup());
    driver.offer(0, {{ram - 1, 1, writes}});
    BOOST_TEST(queue.pop().value().writable_size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_buffer_without_bytes_is_a_mistake, Fixture) {
    BOOST_TEST((mistake_of({{data_at, 4}, {data_at, 0}}) == Mistake::empty_buffer));
}

BOOST_FIXTURE_TEST_CASE(what_the_device_reads_comes_first, Fixture) {
    BOOST_TEST((mistake_of({{data_at, 4, writes}, {data_at, 4}}) == Mistake::buffer_order));
}

BOOST_FIXTURE_TEST_CASE(a_next_descriptor_has_to_be_in_the_table, Fixture) {
    driver.put_descriptor(driver.descriptors(), 0, {data_at, 4, RingDriver::next, 8});
    SplitQueue queue(memory, setup());
    driver.offer(0);
    BOOST_TEST(!queue.pop().has_value());
    BOOST_TEST((queue.mistake() == Mistake::next));
    driver.put_descriptor(table_at, 0, {data_at, 4, RingDriver::next, 2});
    BOOST_TEST((mistake_of({{table_at, 32, RingDriver::indirect}}) == Mistake::next));
}

BOOST_FIXTURE_TEST_CASE(what_is_wrong_with_an_indirect_table_is_said, Fixture) {
    constexpr std::uint16_t table = RingDriver::indirect;
    BOOST_TEST((mistake_of({{table_at, 15, table}}) == Mistake::indirect_size));
    BOOST_TEST((mistake_of({{table_at, 0, table}}) == Mistake::indirect_size));
    BOOST_TEST((mistake_of({{ram - 16, 32, table}}) == Mistake::indirect_address));
    BOOST_TEST((mistake_of({{~0ULL - 15, 32, table}}) == Mistake::indirect_address));
    BOOST_TEST((mistake_of({{table_at, 16, table}, {data_at, 4}}) == Mistake::indirect_with_next));
    driver.put_descriptor(table_at, 0, {table_at, 16, table});
    BOOST_TEST((mistake_of({{table_at, 16, table}}) == Mistake::indirect_in_indirect));
    auto without = setup();
    without.indirect = false;
    SplitQueue queue(memory, without);
    BOOST_TEST(!queue.pop().has_value());
    BOOST_TEST((queue.mistake() == Mistake::indirect_not_negotiated));
}

BOOST_FIXTURE_TEST_CASE(an_index_that_jumps_is_a_mistake, Fixture) {
    SplitQueue queue(memory, setup());
    driver.set_available_index(9);
    BOOST_TEST(!queue.pop().has_value());
    BOOST_TEST((queue.mistake() == Mistake::available_index));
    SplitQueue another(memory, setup());
    driver.set_available_index(0xffff);  // one back
    BOOST_TEST(!another.pop().has_value());
    BOOST_TEST((another.mistake() == Mistake::available_index));
}

BOOST_FIXTURE_TEST_CASE(a_head_has_to_be_in_the_queue_and_free, Fixture) {
    SplitQueue queue(memory, setup());
    driver.offer(8);
    BOOST_TEST(!queue.pop().has_value());
    BOOST_TEST((queue.mistake() == Mistake::head));

    driver.set_available_index(0);
    SplitQueue another(memory, setup());
    driver.offer(2, {{data_at, 4}});
    driver.offer(2);
    auto chain = another.pop();
    BOOST_TEST(chain.has_value());
    BOOST_TEST(!another.pop().has_value());
    BOOST_TEST((another.mistake() == Mistake::head_in_use));
    // What is under way can still be given back.
    another.push(std::move(*chain), 0);
    BOOST_TEST((driver.take_used() == RingDriver::Used{2, 0}));
}

BOOST_FIXTURE_TEST_CASE(a_setup_that_the_specification_forbids_is_a_mistake, Fixture) {
    const auto says = [this](auto change) {
        auto wrong = setup();
        change(wrong);
        SplitQueue queue(memory, wrong);
        BOOST_TEST(!queue.pop().has_value());
        BOOST_TEST(!queue.interrupt_due());
        return queue.mistake();
    };
    BOOST_TEST((says([](auto& queue) { queue.size = 0; }) == Mistake::queue_size));
    BOOST_TEST((says([](auto& queue) { queue.size = 6; }) == Mistake::queue_size));
    BOOST_TEST((says([](auto& queue) { queue.descriptors += 8; }) == Mistake::queue_alignment));
    BOOST_TEST((says([](auto& queue) { queue.available += 1; }) == Mistake::queue_alignment));
    BOOST_TEST((says([](auto& queue) { queue.used += 2; }) == Mistake::queue_alignment));
    BOOST_TEST((says([](auto& queue) { queue.descriptors = ram - 0x70; }) == Mistake::queue_address));
    BOOST_TEST((says([](auto& queue) { queue.available = ~1ULL; }) == Mistake::queue_address));
    BOOST_TEST((says([](auto& queue) { queue.used = ram - 64; }) == Mistake::queue_address));
}

BOOST_FIXTURE_TEST_CASE(every_mistake_has_words_of_its_own, Fixture) {
    std::vector<std::string_view> all;
    for (unsigned i = 0; i <= static_cast<unsigned>(Mistake::request); ++i) {
        const auto words = describe(static_cast<Mistake>(i));
        BOOST_TEST(words.size() > 10u);
        BOOST_TEST((std::ranges::find(all, words) == all.end()));
        all.push_back(words);
    }
}

// Notifications and interrupts.

BOOST_FIXTURE_TEST_CASE(without_event_indices_flags_say_who_wants_to_hear, Fixture) {
    SplitQueue queue(memory, setup());
    queue.decline_notification();
    BOOST_TEST(driver.used_flags() == 1u);
    BOOST_TEST(queue.ask_for_notification());
    BOOST_TEST(driver.used_flags() == 0u);
    driver.offer(0, {{data_at, 4}});
    BOOST_TEST(!queue.ask_for_notification());  // it has come meanwhile
    queue.push(queue.pop().value(), 0);
    BOOST_TEST(queue.interrupt_due());
    BOOST_TEST(!queue.interrupt_due());  // once for what has been given back
    driver.set_available_flags(1);
    driver.offer(0);
    queue.push(queue.pop().value(), 0);
    BOOST_TEST(!queue.interrupt_due());
}

BOOST_FIXTURE_TEST_CASE(with_event_indices_each_side_says_up_to_where_it_wants_silence, Fixture) {
    SplitQueue queue(memory, setup(true));
    driver.offer(0, {{data_at, 4}});
    BOOST_TEST(!queue.ask_for_notification());
    auto first = queue.pop().value();
    BOOST_TEST(queue.ask_for_notification());
    BOOST_TEST(driver.available_event() == 1u);
    queue.decline_notification();
    BOOST_TEST(driver.used_flags() == 0u);  // which event indices replace

    queue.push(std::move(first), 0);
    driver.set_used_event(0);
    BOOST_TEST(queue.interrupt_due());
    driver.set_used_event(3);  // when the index goes from 3 to 4
    for (const bool due : {false, false, true, false}) {
        driver.offer(0);
        queue.push(queue.pop().value(), 0);
        BOOST_TEST(queue.interrupt_due() == due);
    }
    // A batch that goes over the index interrupts once.
    driver.set_used_event(6);
    for (std::uint16_t head = 1; head <= 4; ++head) driver.offer(head, {{data_at, 4}});
    for (int i = 0; i < 4; ++i) queue.push(queue.pop().value(), 0);
    BOOST_TEST(queue.interrupt_due());
    BOOST_TEST(!queue.interrupt_due());
}

// State, and what others must hear of.

BOOST_FIXTURE_TEST_CASE(a_queue_goes_on_elsewhere_with_the_chains_that_were_under_way, Fixture) {
    SplitQueue queue(memory, setup(true));
    for (std::uint16_t head = 0; head < 5; ++head) driver.offer(head, {{data_at + head, 1U + head, writes}});
    auto zero = queue.pop().value();
    auto one = queue.pop().value();
    auto two = queue.pop().value();
    queue.push(std::move(one), 1);
    const auto position = queue.position();
    BOOST_TEST(position.under_way == (std::vector<std::uint16_t>{0, 2}), boost::test_tools::per_element());

    SplitQueue restored(memory, setup(true));
    restored.go_on_from(position);
    BOOST_TEST(restored.position().under_way == position.under_way, boost::test_tools::per_element());
    for (const std::uint32_t size : {1U, 3U, 4U, 5U}) {
        BOOST_TEST(restored.has_more());
        BOOST_TEST(restored.pop().value().writable_size() == size);
    }
    BOOST_TEST(!restored.has_more());
    BOOST_TEST((driver.take_used() == RingDriver::Used{1, 1}));
}

BOOST_FIXTURE_TEST_CASE(a_position_that_no_queue_has_is_a_mistake, Fixture) {
    for (const std::vector<std::uint16_t>& heads : {std::vector<std::uint16_t>{8}, {1, 1}}) {
        SplitQueue queue(memory, setup());
        queue.go_on_from({.under_way = heads});
        BOOST_TEST((queue.mistake() == Mistake::head));
        BOOST_TEST(!queue.pop().has_value());
    }
}

BOOST_AUTO_TEST_CASE(what_the_device_writes_is_in_the_dirty_log) {
    GuestMemory memory(0x20000);
    memory.start_dirty_log();
    RingDriver driver(memory, 0x1000, 8);
    SplitQueue queue(memory, {.size = 8, .descriptors = 0x1000, .available = 0x1400, .used = 0x2ffc});
    driver.offer(0, {{0x8000, 16}, {0x9fff, 2, writes}});
    driver.offer(2, {{0xc000, 2, writes}});
    static_cast<void>(memory.take_dirty_pages());
    auto chain = queue.pop().value();
    BOOST_TEST(memory.take_dirty_pages().empty());
    queue.push(std::move(chain), 2);
    BOOST_TEST(memory.take_dirty_pages() == (std::vector<std::uint64_t>{0x2000, 0x3000, 0x9000, 0xa000}),
               boost::test_tools::per_element());
    // A chain that is dropped may have been written to.
    queue.pop().reset();
    BOOST_TEST(memory.take_dirty_pages() == (std::vector<std::uint64_t>{0xc000}), boost::test_tools::per_element());
}
