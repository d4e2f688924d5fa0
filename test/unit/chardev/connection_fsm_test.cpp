#define BOOST_TEST_MODULE chardev_connection_fsm
#include "kernel_model.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

using namespace asyncvm;
using namespace asyncvm::test;
using namespace std::chrono_literals;
using Fsm = ConnectionFsm;

namespace {

const Fsm::Time start{};

/// An open connection that has sent ten bytes.
struct Open {
    explicit Open(bool local = false, bool ends_with_input = false) : fsm(local, ends_with_input) {
        fsm.connected();
        fsm.sent(10);
        fsm.unacknowledged(10, start);
    }
    Fsm fsm;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_client_that_is_not_trusted_yet_is_read_and_sent_nothing) {
    Fsm fsm(false, false);
    BOOST_CHECK(fsm.input() == Fsm::Input::read);
    BOOST_CHECK(fsm.output() == Fsm::Output::hold);
    fsm.connected();
    BOOST_CHECK(fsm.output() == Fsm::Output::write);
    BOOST_CHECK(fsm.ending(start) == Fsm::Ending::wait);
    BOOST_CHECK(fsm.look_again(start) == Fsm::Time::max());
}

BOOST_AUTO_TEST_CASE(what_did_not_go_at_once_waits_for_its_event) {
    Open open;
    open.fsm.nothing_to_send();
    BOOST_CHECK(open.fsm.output() == Fsm::Output::wait_output);
    open.fsm.output_ready();
    open.fsm.not_writable();
    BOOST_CHECK(open.fsm.output() == Fsm::Output::wait_writable);
    open.fsm.writable();
    BOOST_CHECK(open.fsm.output() == Fsm::Output::write);
    open.fsm.nothing_to_read();
    BOOST_CHECK(open.fsm.input() == Fsm::Input::wait_readable);
    open.fsm.readable();
    open.fsm.no_room();
    BOOST_CHECK(open.fsm.input() == Fsm::Input::wait_room);
    open.fsm.room();
    BOOST_CHECK(open.fsm.input() == Fsm::Input::read);
}

BOOST_AUTO_TEST_CASE(a_listening_side_keeps_a_client_that_ends_its_output) {
    Open open;
    open.fsm.input_ended(start);
    BOOST_CHECK(open.fsm.input() == Fsm::Input::stop);
    BOOST_CHECK(open.fsm.output() == Fsm::Output::write);
    BOOST_CHECK(open.fsm.ending(start) == Fsm::Ending::wait);
    BOOST_TEST(open.fsm.may_be_put_out());
    open.fsm.sent(5);
    open.fsm.unacknowledged(5, start);
    BOOST_TEST(open.fsm.may_be_put_out());
    open.fsm.unacknowledged(4, start);  // of what was sent after it: it lives
    BOOST_TEST(!open.fsm.may_be_put_out());
}

BOOST_AUTO_TEST_CASE(a_hang_up_while_the_last_bytes_are_under_way_is_no_loss_of_the_client_on_tcp) {
    Open open(false, true);
    open.fsm.input_ended(start);
    BOOST_CHECK(open.fsm.output() == Fsm::Output::stop);
    BOOST_CHECK(open.fsm.ending(start) == Fsm::Ending::shut_output);
    open.fsm.output_shut(true);
    open.fsm.hung_up(start);
    BOOST_CHECK(open.fsm.ending(start) == Fsm::Ending::wait);
    open.fsm.unacknowledged(6, start + 900ms);
    BOOST_TEST(open.fsm.arrived() == 5u);
    BOOST_CHECK(open.fsm.ending(start + 1800ms) == Fsm::Ending::wait);
    open.fsm.unacknowledged(0, start + 1800ms);
    BOOST_TEST(open.fsm.arrived() == 10u);
    BOOST_CHECK(open.fsm.ending(start + 1800ms) == Fsm::Ending::hand_over);
    open.fsm.handed_over();
    BOOST_CHECK(open.fsm.ending(start + 1800ms) == Fsm::Ending::close);
}

BOOST_AUTO_TEST_CASE(a_rest_that_will_be_sent_again_is_closed_by_a_reset) {
    Open open(false, true);
    open.fsm.input_ended(start);
    open.fsm.output_shut(true);
    open.fsm.unacknowledged(11, start);
    BOOST_CHECK(open.fsm.ending(start + 999ms) == Fsm::Ending::wait);
    BOOST_CHECK(open.fsm.ending(start + 1s) == Fsm::Ending::hand_over);
    open.fsm.handed_over();
    BOOST_CHECK(open.fsm.ending(start + 1s) == Fsm::Ending::reset);
    Open other;
    other.fsm.put_out();
    other.fsm.handed_over();
    BOOST_CHECK(other.fsm.ending(start) == Fsm::Ending::reset);
}

BOOST_AUTO_TEST_CASE(the_last_rest_is_left_to_the_kernel) {
    Open open;
    open.fsm.finish(start, start);
    BOOST_CHECK(open.fsm.ending(start) == Fsm::Ending::shut_output);
    open.fsm.output_shut(true);
    BOOST_CHECK(open.fsm.ending(start) == Fsm::Ending::hand_over);
    open.fsm.handed_over();
    BOOST_CHECK(open.fsm.ending(start) == Fsm::Ending::close);
}

BOOST_AUTO_TEST_CASE(a_hang_up_that_this_side_has_no_part_in_is_the_loss_of_the_client_on_tcp) {
    Open open;
    open.fsm.hung_up(start);
    BOOST_CHECK(open.fsm.ending(start) == Fsm::Ending::hand_over);
    open.fsm.handed_over();
    BOOST_CHECK(open.fsm.ending(start) == Fsm::Ending::close);
}

BOOST_AUTO_TEST_CASE(a_unix_peer_that_has_hung_up_may_still_read) {
    Open open(true);
    open.fsm.hung_up(start);
    BOOST_CHECK(open.fsm.output() == Fsm::Output::stop);
    BOOST_CHECK(open.fsm.ending(start) == Fsm::Ending::wait);
    open.fsm.unacknowledged(0, start);
    BOOST_TEST(open.fsm.arrived() == 10u);
    BOOST_CHECK(open.fsm.ending(start) == Fsm::Ending::hand_over);
}

BOOST_AUTO_TEST_CASE(what_a_unix_socket_holds_after_its_peers_death_counts_for_nothing) {
    Open open(true);
    open.fsm.hung_up(start);
    open.fsm.failed();
    open.fsm.unacknowledged(0, start);  // forgotten, not read
    BOOST_TEST(open.fsm.arrived() == 0u);
}

BOOST_AUTO_TEST_CASE(a_last_client_that_has_everything_is_waited_for_a_second) {
    Open open;
    open.fsm.unacknowledged(0, start);
    open.fsm.finish({}, start);
    open.fsm.output_shut(true);
    open.fsm.unacknowledged(0, start);
    BOOST_CHECK(open.fsm.ending(start + 999ms) == Fsm::Ending::wait);
    BOOST_CHECK(open.fsm.input() == Fsm::Input::discard);
    BOOST_TEST(open.fsm.arrived_unconfirmed());
    BOOST_CHECK(open.fsm.ending(start + 1s) == Fsm::Ending::hand_over);
}

BOOST_AUTO_TEST_CASE(a_last_client_that_has_not_read_everything_is_waited_for_as_long_as_linger_says) {
    for (const bool limited : {false, true}) {
        Open open;
        open.fsm.window(60'000);
        open.fsm.window(10'000);
        open.fsm.unacknowledged(0, start);
        open.fsm.finish(limited ? std::optional(start + 60s) : std::nullopt, start);
        open.fsm.output_shut(true);
        open.fsm.unacknowledged(0, start);
        BOOST_TEST(open.fsm.unread_at_peer() == 50'000u);
        BOOST_CHECK(open.fsm.ending(start + 59s) == Fsm::Ending::wait);
        BOOST_CHECK((open.fsm.ending(start + 60s) == Fsm::Ending::wait) == !limited);
        open.fsm.input_ended(start + 60s);
        BOOST_CHECK(open.fsm.ending(start + 60s) == Fsm::Ending::hand_over);
        BOOST_TEST(!open.fsm.arrived_unconfirmed());
    }
}

BOOST_DATA_TEST_CASE(no_sequence_of_events_makes_a_loop_spin_or_loses_a_byte, boost::unit_test::data::xrange(2000U), seed) {
    ModelRun run(seed);
    for (unsigned step = 0; step < 60 && !run.over(); ++step) {
        run.something_happens();
        BOOST_TEST_REQUIRE(run.come_to_rest(), "seed " << seed << ", step " << step << ": the loops do not come to rest");
        const auto wrong = run.broken_promise();
        BOOST_TEST_REQUIRE(wrong.empty(), "seed " << seed << ", step " << step << ": " << wrong);
    }
    BOOST_TEST_REQUIRE(run.ends_when_abandoned(), "seed " << seed);
    const auto wrong = run.broken_promise();
    BOOST_TEST_REQUIRE(wrong.empty(), "seed " << seed << ": " << wrong);
}

BOOST_DATA_TEST_CASE(a_closing_connection_ends_though_its_peer_is_silent, boost::unit_test::data::xrange(500U), seed) {
    ModelRun run(seed);
    for (unsigned step = 0; step < 30 && !run.over(); ++step) {
        run.something_happens();
        BOOST_TEST_REQUIRE(run.come_to_rest());
    }
    BOOST_TEST_REQUIRE(run.ends_when_finished(2s), "seed " << seed);
}

BOOST_AUTO_TEST_CASE(a_client_that_is_parted_with_gets_what_is_under_way_and_the_end_of_file) {
    Open open;
    open.fsm.part(start);
    BOOST_CHECK(open.fsm.output() == Fsm::Output::stop);
    BOOST_CHECK(open.fsm.input() == Fsm::Input::read);
    BOOST_CHECK(open.fsm.ending(start) == Fsm::Ending::shut_output);
    open.fsm.output_shut(true);
    BOOST_CHECK(open.fsm.ending(start) == Fsm::Ending::wait);
    open.fsm.unacknowledged(0, start);
    BOOST_CHECK(open.fsm.ending(start) == Fsm::Ending::hand_over);
    open.fsm.handed_over();
    // It is not waited for: what it has not read is in its kernel.
    BOOST_CHECK(open.fsm.ending(start) == Fsm::Ending::close);
}

BOOST_AUTO_TEST_CASE(a_client_that_takes_nothing_is_parted_with_by_a_reset_after_a_second) {
    Open open;
    open.fsm.part(start);
    open.fsm.output_shut(true);
    open.fsm.unacknowledged(5, start + 500ms);
    BOOST_CHECK(open.fsm.ending(start + 1400ms) == Fsm::Ending::wait);
    BOOST_CHECK(open.fsm.ending(start + 1500ms) == Fsm::Ending::hand_over);
    open.fsm.handed_over();
    BOOST_CHECK(open.fsm.ending(start + 1500ms) == Fsm::Ending::reset);
    BOOST_TEST(open.fsm.arrived() == 6u);
}

BOOST_AUTO_TEST_CASE(a_unix_client_that_is_parted_with_has_what_was_sent_unless_it_has_gone) {
    Open there(true);
    there.fsm.part(start);
    BOOST_CHECK(there.fsm.ending(start) == Fsm::Ending::shut_output);
    there.fsm.output_shut(false);
    there.fsm.unacknowledged(10, start);
    BOOST_TEST(there.fsm.arrived() == 10u);
    BOOST_CHECK(there.fsm.ending(start) == Fsm::Ending::hand_over);
    there.fsm.handed_over();
    BOOST_CHECK(there.fsm.ending(start) == Fsm::Ending::close);

    Open gone(true);
    gone.fsm.hung_up(start);
    gone.fsm.part(start);
    gone.fsm.unacknowledged(10, start);
    BOOST_TEST(gone.fsm.arrived() == 0u);

    Open dead(true);
    dead.fsm.failed();
    dead.fsm.part(start);
    dead.fsm.unacknowledged(10, start);
    BOOST_TEST(dead.fsm.arrived() == 0u);
    BOOST_CHECK(dead.fsm.ending(start) == Fsm::Ending::hand_over);
}
