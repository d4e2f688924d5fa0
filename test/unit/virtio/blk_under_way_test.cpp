// Requests of a virtio disk that are under way together: their order, a reset, saved state, notifications.
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <numeric>

#include "blk_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::virtio;

BOOST_FIXTURE_TEST_CASE(requests_are_under_way_together_and_end_in_any_order, BlkFixture) {
    start(usual);
    disk->hold();
    ask(0, Kind::read, 0, 512);
    ask(3, Kind::write, 8, 512);
    notify(0);
    poll();
    BOOST_TEST(disk->under_way == 2u);
    BOOST_TEST(!ring().take_used().has_value());
    BOOST_TEST(status(0) == no_status);
    disk->release();
    poll();
    BOOST_TEST(status(0) == ok);
    BOOST_TEST(status(3) == ok);
    BOOST_TEST(ring().used_index() == 2u);
    BOOST_TEST(interrupts() == 1u);
}

// A disk that answers at once, and a driver that always has another request.
BOOST_FIXTURE_TEST_CASE(requests_without_an_end_leave_the_loop_to_others, BlkFixture) {
    start(usual);
    constexpr unsigned all = 300;
    unsigned calls = 0;
    unsigned others_turn = 0;
    disk->on_read = [&] {
        if (++calls == 1) asio::post(loop, [&] { others_turn = calls; });
        if (calls < all) ask(calls % 2 == 0 ? 0 : 3, Kind::read, 0, 512);
    };
    ask(0, Kind::read, 0, 512);
    notify(0);
    BOOST_TEST(calls == all);
    BOOST_TEST(others_turn > 0u);
    BOOST_TEST(others_turn <= 65u);
}

BOOST_FIXTURE_TEST_CASE(a_reset_waits_for_what_is_under_way_and_answers_none_of_it, BlkFixture) {
    start(usual);
    disk->hold();
    ask(0, Kind::read, 0, 512);
    notify(0);
    BOOST_TEST(disk->under_way == 1u);
    begin_write(MmioRegisters::status, 0);
    BOOST_TEST(!write_done);
    disk->release();
    poll();
    BOOST_TEST(write_done);
    BOOST_TEST(disk->under_way == 0u);
    BOOST_TEST(ring().used_index() == 0u);
    BOOST_TEST(!interrupted());
    start(usual);
    BOOST_TEST(answer(Kind::read, 0, 512) == ok);
}

BOOST_FIXTURE_TEST_CASE(a_request_that_is_under_way_when_the_state_is_saved_is_made_again, BlkFixture) {
    start(usual);
    disk->hold();
    ask(0, Kind::read, 4, 512);
    notify(0);
    const auto state = saved();
    BlkFixture other;
    std::vector<std::byte> all(ram);
    memory.read(0, all);
    other.memory.write(0, all);
    other.restore(state);
    BOOST_TEST(other.memory.load_acquire<std::uint8_t>(status_at).value() == ok);
    BOOST_TEST((other.disk->calls == std::vector<std::string>{"read"}));
    BOOST_TEST((other.data(512) == on_disk(2048, 512)));
    disk->release();
    poll();
}

// The even ones read, the odd ones write, and they end in another order than they were made in.
BOOST_DATA_TEST_CASE_F(BlkFixture, saved_amid_requests_each_is_answered_once, boost::unit_test::data::xrange(9U), done) {
    constexpr std::uint16_t all = 8;
    start(usual | feature_indirect);
    disk->hold();
    for (std::uint16_t head = 0; head < all; ++head) {
        memory.zero(data_at + 0x1000 * head, 512);
        ask_indirect(head, head % 2 == 0 ? Kind::read : Kind::write, head);
    }
    notify(0);
    disk->release(done);
    poll();
    BOOST_TEST(ring().used_index() == done);
    const auto state = saved();

    BlkFixture other;
    other.disk->bytes = disk->bytes;
    std::vector<std::byte> everything(ram);
    memory.read(0, everything);
    other.memory.write(0, everything);
    other.restore(state);
    RingDriver restored(other.memory, 0x1000, all);
    std::array<unsigned, all> answers{};
    while (const auto used = restored.take_used()) ++answers.at(used->head);
    for (std::uint16_t head = 0; head < all; ++head) {
        BOOST_TEST(answers.at(head) == 1u);
        BOOST_TEST(restored.get<std::uint8_t>(status_at + head) == ok);
        BOOST_TEST((other.data(512, head) == other.on_disk(512 * head, 512)));
    }
    BOOST_TEST(other.disk->calls.size() == all - done);
    disk->release();
    poll();
}

// What a driver does that keeps 32 requests under way and makes eight at a time: an exit is a notification, and eight
// requests may cost one.
BOOST_DATA_TEST_CASE_F(BlkFixture, eight_requests_at_a_time_need_one_notification,
                       (boost::unit_test::data::make({std::uint64_t{0}, feature_event_index})), feature) {
    constexpr std::uint16_t depth = 32, batch = 8;
    constexpr unsigned batches = 300;
    const bool event_index = feature != 0;
    BOOST_REQUIRE(negotiate(usual | feature_indirect | feature));
    rings.push_back(std::make_unique<RingDriver>(memory, 0x1000, std::uint16_t{64}));
    set_up_queue(0, ring());
    be_ready();
    disk->hold();
    unsigned notifications = 0;
    const auto offer = [&](const std::vector<std::uint16_t>& heads) {
        const std::uint16_t before = ring().offered();
        for (const std::uint16_t head : heads) ask_indirect(head, Kind::read, head);
        const auto passed = static_cast<std::uint16_t>(ring().offered() - ring().available_event() - 1);
        const bool wanted =
            event_index ? passed < static_cast<std::uint16_t>(ring().offered() - before) : ring().used_flags() == 0;
        if (!wanted) return;
        ++notifications;
        notify(0);
    };
    std::vector<std::uint16_t> heads(depth);
    std::iota(heads.begin(), heads.end(), std::uint16_t{0});
    offer(heads);
    for (unsigned round = 0; round < batches; ++round) {
        disk->release(batch);
        poll();
        heads.clear();
        while (const auto used = ring().take_used()) heads.push_back(static_cast<std::uint16_t>(used->head));
        BOOST_TEST_REQUIRE(heads.size() == batch);
        acknowledge();
        offer(heads);
        BOOST_TEST_REQUIRE(disk->under_way == depth);
    }
    BOOST_TEST(notifications <= batches + 1);
    BOOST_TEST(notifications <= 0.13 * batch * batches);
    disk->release();
    poll();
}
