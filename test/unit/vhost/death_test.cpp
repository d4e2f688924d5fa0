// Back ends that die, hang or misbehave while the guest uses them, and the ones after them.
#include <boost/test/unit_test.hpp>

#include <utility>

#include "vhost_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::vhost;

namespace {

struct DeathFixture : VhostFixture {
    /// The driver has asked; the back end has taken `texts` and answered nothing.
    void take_requests(std::initializer_list<const char*> texts, Conduct conduct = {}) {
        conduct.holds = true;
        begin(std::move(conduct));
        std::uint16_t head = 0;
        for (const char* const text : texts) offer(std::exchange(head, static_cast<std::uint16_t>(head + 2)), text);
        kick();
        until([&] { return back_end->held() == texts.size(); });
    }
    /// A back end that has died was noticed, and another one serves.
    void die_and_live(Conduct conduct = {}) {
        die();
        until([this] { return has_line("is gone"); });
        live(std::move(conduct));
        until([this] { return has_line("is there again"); });
    }
    [[nodiscard]] bool needs_reset() const { return (driver->read(R::status) & virtio::DeviceState::needs_reset_bit) != 0; }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(what_a_dead_back_end_had_under_way_the_next_one_does, DeathFixture) {
    take_requests({"abc", "de"});
    die_and_live();
    BOOST_TEST((wait_for_used() == RingDriver::Used{0, 3}));
    BOOST_TEST((wait_for_used() == RingDriver::Used{2, 2}));
    BOOST_TEST(answer(0, 3) == "cba");
    const std::vector<std::string> expected{
        "fs0: the back end at " + place.path() +
            " is gone: it has closed the connection (the guest waits until there is one again)",
        "fs0: the back end at " + place.path() + " is there again"};
    BOOST_TEST(lines == expected, boost::test_tools::per_element());
    BOOST_TEST(!needs_reset());
}

BOOST_FIXTURE_TEST_CASE(what_the_guest_asks_while_there_is_no_back_end_is_answered_later, DeathFixture) {
    begin();
    offer(0, "one");
    kick();
    BOOST_TEST((wait_for_used() == RingDriver::Used{0, 3}));
    die();
    until([this] { return has_line("is gone"); });
    offer(2, "two");
    kick();
    live();
    BOOST_TEST((wait_for_used() == RingDriver::Used{2, 3}));
    BOOST_TEST(back_end->base(0) == 1u);
}

BOOST_FIXTURE_TEST_CASE(an_answer_without_a_call_is_told_when_there_is_a_back_end_again, DeathFixture) {
    begin();
    // As a back end leaves it that dies between the two.
    offer(0, "one");
    driver->ring().put(driver->ring().used() + 4, std::uint32_t{0});
    driver->ring().put(driver->ring().used() + 2, std::uint16_t{1});
    BOOST_TEST(!driver->interrupted());
    die_and_live();
    until([this] { return driver->interrupted(); });
    until([this] { return back_end->enabled(0); });
    BOOST_TEST(back_end->base(0) == 1u);
}

BOOST_FIXTURE_TEST_CASE(requests_out_of_order_can_not_be_done_again_and_need_a_reset, DeathFixture) {
    take_requests({"abc", "de", "f"});
    back_end->release(1);
    BOOST_TEST((wait_for_used() == RingDriver::Used{2, 2}));
    die_and_live();
    until([this] { return needs_reset(); });
    BOOST_REQUIRE(driver->log.size() == 1u);
    BOOST_TEST(driver->log[0] ==
               "device vhost-user-fs: nobody knows which requests of ring 0 the last back end had under way; "
               "the driver has to reset the device");
    reset();
    driver->start(virtio::feature_version_1, 2);
    offer(0, "new");
    kick();
    BOOST_TEST((wait_for_used() == RingDriver::Used{0, 3}));
    BOOST_TEST(answer(0, 3) == "wen");
}

BOOST_FIXTURE_TEST_CASE(a_back_end_with_a_record_gets_the_one_of_the_last, DeathFixture) {
    Conduct conduct;
    conduct.protocol |= protocol_inflight;
    take_requests({"abc", "de", "f"}, conduct);
    const auto file = back_end->inflight_file();
    BOOST_TEST(file != 0u);
    back_end->release(1);
    BOOST_TEST((wait_for_used() == RingDriver::Used{2, 2}));
    die_and_live(conduct);
    until([this] { return back_end->enabled(0); });
    BOOST_TEST(back_end->inflight_file() == file);
    BOOST_TEST(back_end->count(Request::get_inflight_fd) == 0u);
    BOOST_TEST(back_end->base(0) == 1u);
    BOOST_TEST(!needs_reset());
    // After a reset nothing is under way.
    reset();
    driver->start(virtio::feature_version_1, 2);
    until([this] { return back_end->enabled(0); });
    BOOST_TEST(back_end->count(Request::get_inflight_fd) == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_driver_may_reset_a_device_that_nobody_serves, DeathFixture) {
    take_requests({"abc"});
    die();
    until([this] { return has_line("is gone"); });
    reset();
    BOOST_TEST(driver->read(R::status) == 0u);
    driver->start(virtio::feature_version_1, 2);
    offer(0, "new");
    kick();
    live();
    BOOST_TEST((wait_for_used() == RingDriver::Used{0, 3}));
    BOOST_TEST(answer(0, 3) == "wen");
}

BOOST_FIXTURE_TEST_CASE(a_back_end_that_hangs_does_not_hold_up_a_reset_for_ever, DeathFixture) {
    environment.reply_limit = std::chrono::milliseconds(500);  // more than a busy host needs for the other answers
    Conduct conduct;
    conduct.mischief[Request::get_vring_base] = Mischief::no_answer;
    begin(conduct);
    reset();
    BOOST_TEST(has_line("is gone: it has not answered request 11 for 500 ms"));
    BOOST_TEST(driver->read(R::status) == 0u);
}

BOOST_FIXTURE_TEST_CASE(a_back_end_that_lacks_something_is_refused_and_a_better_one_taken, DeathFixture) {
    live();
    connect();
    driver->start(virtio::feature_version_1 | virtio::feature_indirect, 2);
    until([this] { return back_end->enabled(1); });
    die();
    until([this] { return has_line("is gone"); });
    Conduct less;
    less.features &= ~virtio::feature_indirect;
    live(less);
    until([this] { return has_line("can't be used: it lacks features that the guest uses (0x10000000)"); });
    const auto said = lines.size();
    until([this] { return back_end->count(Request::get_features) >= 2; });
    BOOST_TEST(lines.size() == said);
    die();
    live();
    until([this] { return has_line("is there again"); });
    offer(0, "text");
    kick();
    BOOST_TEST((wait_for_used() == RingDriver::Used{0, 4}));
}

BOOST_FIXTURE_TEST_CASE(at_whatever_message_a_back_end_fails_the_next_one_serves, DeathFixture) {
    const std::pair<Request, Mischief> failures[]{
        {Request::set_features, Mischief::hang_up},        {Request::set_features, Mischief::refusal},
        {Request::set_mem_table, Mischief::refusal},       {Request::set_mem_table, Mischief::hang_up},
        {Request::set_vring_num, Mischief::short_answer},  {Request::set_vring_base, Mischief::wrong_request},
        {Request::set_vring_addr, Mischief::refusal},      {Request::set_vring_call, Mischief::gift},
        {Request::set_vring_kick, Mischief::hang_up},      {Request::set_vring_enable, Mischief::other_version},
        {Request::set_vring_enable, Mischief::two_answers}};
    live();
    connect();
    for (const auto& [request, mischief] : failures) {
        die();
        lines.clear();
        until([this] { return has_line("is gone"); });
        Conduct conduct;
        conduct.mischief[request] = mischief;
        live(conduct);
        until([this] { return has_line("is there again"); });
        lines.clear();
        driver->start(virtio::feature_version_1, 2);
        until([this] { return has_line("is gone"); });
        BOOST_TEST(lines.size() == 1u);
        die();
        live();
        until([this] { return has_line("is there again"); });
        offer(0, "text");
        kick();
        BOOST_TEST((wait_for_used() == RingDriver::Used{0, 4}), static_cast<unsigned>(request));
        reset();
    }
}

BOOST_FIXTURE_TEST_CASE(a_back_end_that_talks_without_being_asked_is_left, DeathFixture) {
    Conduct conduct;
    conduct.protocol &= ~protocol_reply_ack;
    conduct.mischief[Request::set_vring_enable] = Mischief::long_answer;
    live(conduct);
    connect();
    driver->start(virtio::feature_version_1, 2);
    until([this] { return has_line("is gone: it sends request 18, and was not asked"); });
}

BOOST_FIXTURE_TEST_CASE(the_end_of_the_machine_does_not_wait_for_a_back_end, DeathFixture) {
    begin();
    die();
    until([this] { return has_line("is gone"); });
    driver->stop_run.emit(asio::cancellation_type::terminal);
    until([this] { return driver->run_ended; });
}
