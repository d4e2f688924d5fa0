// The live table.
#include <control/top.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <string>

using namespace asyncvm::control;

namespace {

Json look(std::int64_t seconds, std::int64_t exits, std::int64_t in_guest) {
    const auto times = [](std::int64_t total) { return Json{{"count", 1}, {"total-ns", total}}; };
    return {{"elapsed-ns", seconds * 1'000'000'000},
            {"cpus",
             Json::array({Json{{"state", "in-guest"}, {"in-guest-ns", in_guest}, {"in-device-ns", 0}, {"waiting-ns", 0}}})},
            {"places", Json::array({Json{{"space", "port"},
                                         {"address", 0x3f8},
                                         {"size", 8},
                                         {"device", "uart16550"},
                                         {"reads", 0},
                                         {"writes", exits},
                                         {"bytes", exits},
                                         {"posted", 0},
                                         {"in-device", times(exits * 1000)},
                                         {"waiting", times(0)}},
                                    Json{{"space", "port"},
                                         {"address", 0x10},
                                         {"size", 1},
                                         {"device", "counter"},
                                         {"reads", 5},
                                         {"writes", 0},
                                         {"bytes", 5},
                                         {"posted", 0},
                                         {"in-device", times(0)},
                                         {"waiting", times(0)}}})}};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(top)

BOOST_AUTO_TEST_CASE(rates_are_between_two_looks) {
    const auto table = top_table(look(10, 1000, 4'000'000'000), look(12, 21000, 5'000'000'000));
    BOOST_TEST(table ==
               "vCPU                               in guest  in device    waiting\n"
               "vcpu0 in-guest                        50.0%       0.0%       0.0%\n"
               "device                            exits/s posted/s    bytes/s     time waiting\n"
               "uart16550 0x3f8-0x3ff               10000        0      10000     1.0%    0.0%\n");
}

BOOST_AUTO_TEST_CASE(the_first_look_is_since_the_start) {
    const auto table = top_table({}, look(2, 1000, 1'000'000'000));
    BOOST_TEST(table.find("uart16550 0x3f8-0x3ff                 500") != std::string::npos, table);
    BOOST_TEST(table.find("counter 0x10") != std::string::npos, table);
    BOOST_TEST(top_table({}, look(2, 1000, 0), 1).find("counter") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_state_that_goes_on_counts_from_its_begin_and_once) {
    const auto at = [](std::int64_t seconds, const char* state, std::int64_t since, std::int64_t guest, std::int64_t device,
                       std::int64_t waiting) {
        constexpr std::int64_t ms = 1'000'000;
        return Json{{"elapsed-ns", seconds * 1000 * ms},
                    {"cpus", Json::array({Json{{"state", state},
                                               {"since-ns", since * ms},
                                               {"in-guest-ns", guest * ms},
                                               {"in-device-ns", device * ms},
                                               {"waiting-ns", waiting * ms}}})},
                    {"places", Json::array()}};
    };
    const auto line = [](const Json& before, const Json& now) {
        const auto table = top_table(before, now);
        const auto begin = table.find("vcpu0");
        return table.substr(begin, table.find('\n', begin) - begin);
    };
    // An idle guest: no exit in this second, and one after six.
    BOOST_TEST(line(at(10, "in-guest", 2000, 5000, 0, 0), at(11, "in-guest", 3000, 5000, 0, 0)) ==
               "vcpu0 in-guest                       100.0%       0.0%       0.0%");
    BOOST_TEST(line(at(15, "in-guest", 6000, 5000, 0, 0), at(16, "in-guest", 500, 11'500, 0, 0)) ==
               "vcpu0 in-guest                       100.0%       0.0%       0.0%");
    BOOST_TEST(line(at(10, "in-guest", 500, 5000, 0, 0), at(12, "waiting", 1000, 6500, 0, 0)) ==
               "vcpu0 waiting                         50.0%      50.0%      50.0%");
    BOOST_TEST(line(at(12, "waiting", 1000, 6500, 0, 0), at(13, "in-device", 250, 6500, 1750, 1750)) ==
               "vcpu0 in-device                        0.0%     100.0%      75.0%");
    // Read while the vCPU went on: too much, or less than before.
    BOOST_TEST(line(at(10, "in-guest", 0, 5000, 0, 0), at(11, "in-guest", 1000, 6000, 0, 0)) ==
               "vcpu0 in-guest                       100.0%       0.0%       0.0%");
    BOOST_TEST(line(at(11, "in-guest", 1000, 6000, 0, 0), at(12, "in-guest", 100, 6000, 0, 0)) ==
               "vcpu0 in-guest                         0.0%       0.0%       0.0%");
}

BOOST_AUTO_TEST_CASE(a_terminal_of_80_columns_has_all_of_it_and_a_smaller_one_what_fits) {
    const auto table = top_table(look(10, 1000, 4'000'000'000), look(12, 21000, 5'000'000'000));
    BOOST_TEST(fitted(table, 24, 80) == table);
    BOOST_TEST(fitted("one\ntwo\nthree\n", 3, 2) == "on\ntw\n");  // the last row is the cursor's
    BOOST_TEST(fitted("one\ntwo\n", 3, 3) == "one\ntwo\n");
    BOOST_TEST(fitted("one\n", 1, 80) == "");
    BOOST_TEST(fitted("", 24, 80) == "");
}

BOOST_AUTO_TEST_CASE(what_is_no_answer_makes_no_table_and_no_crash) {
    BOOST_TEST(!top_table({}, Json::object()).empty());
    BOOST_TEST(!top_table(Json::array(), {{"cpus", Json::array({1})}, {"places", Json::array({"x"})}}).empty());
}

BOOST_AUTO_TEST_SUITE_END()
