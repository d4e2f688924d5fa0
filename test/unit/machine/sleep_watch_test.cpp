#include "machine/sleep_watch.hpp"

#include <boost/test/unit_test.hpp>

#include <vector>

using namespace asyncvm;
using namespace std::chrono_literals;
using Times = std::vector<SleepWatch::Time>;

BOOST_AUTO_TEST_SUITE(sleep_watch)

BOOST_AUTO_TEST_CASE(vcpus_are_asked_only_when_none_has_moved_between_two_looks) {
    SleepWatch watch;
    BOOST_TEST(!watch.look(Times{1ns, 2ns}, true));
    BOOST_TEST(watch.look(Times{1ns, 2ns}, true));
    BOOST_TEST(!watch.look(Times{1ns, 3ns}, true));
    BOOST_TEST(!watch.look(Times{1ns, 3ns}, false));
    BOOST_TEST(watch.look(Times{1ns, 3ns}, true));
    // To ask costs them time.
    watch.asked(Times{5ns, 6ns});
    BOOST_TEST(watch.look(Times{5ns, 6ns}, true));
}

BOOST_AUTO_TEST_CASE(looks_become_rare_for_a_guest_that_goes_on) {
    SleepWatch watch;
    const auto first = watch.interval();
    for (int look = 0; look < 100; ++look) BOOST_TEST(!watch.look(Times{std::chrono::nanoseconds(look)}, true));
    BOOST_TEST((watch.interval() > first));
    BOOST_TEST((watch.interval() <= 250ms));
}

BOOST_AUTO_TEST_CASE(one_vcpu_that_may_go_on_keeps_the_machine) {
    using Activities = std::vector<Activity>;
    using enum Activity;
    BOOST_TEST(SleepWatch::is_over(Activities{sleeps_for_good}));
    BOOST_TEST(SleepWatch::is_over(Activities{sleeps_uninterrupted, not_started, sleeps_for_good}));
    BOOST_TEST(!SleepWatch::is_over(Activities{sleeps_for_good, sleeps}));
    BOOST_TEST(!SleepWatch::is_over(Activities{runs, sleeps_for_good}));
}

BOOST_AUTO_TEST_CASE(a_halt_is_told_by_its_kind) {
    using Activities = std::vector<Activity>;
    using enum Activity;
    BOOST_TEST(halted_outcome(Activities{sleeps_for_good}).summary == "the guest halted with interrupts off (vCPU 0)");
    BOOST_TEST(halted_outcome(Activities{sleeps_uninterrupted, not_started}).summary ==
               "the guest halted with interrupts on (vCPU 0), which nothing can raise");
    BOOST_TEST(halted_outcome(Activities{sleeps_for_good, sleeps_uninterrupted, sleeps_for_good}).summary ==
               "the guest halted with interrupts off (vCPUs 0, 2) and with interrupts on (vCPU 1), which nothing can raise");
}

BOOST_AUTO_TEST_SUITE_END()
