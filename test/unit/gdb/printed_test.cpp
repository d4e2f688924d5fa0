#include "gdb/printed.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <sstream>
#include <string>
#include <thread>

using namespace asyncvm::gdb;

namespace {

std::string all(Printed& printed) {
    std::string text;
    while (!printed.empty()) text += printed.take(1000);
    return text;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gdb_printed)

BOOST_AUTO_TEST_CASE(what_comes_goes_in_order) {
    Printed printed;
    BOOST_TEST(printed.empty());
    BOOST_TEST(printed.take(10) == "");
    BOOST_TEST(!printed.add(""));
    BOOST_TEST(printed.add("abc"));
    BOOST_TEST(!printed.add("def"));
    BOOST_TEST(printed.take(4) == "abcd");
    BOOST_TEST(!printed.empty());
    BOOST_TEST(!printed.add("g"));
    BOOST_TEST(printed.take(10) == "efg");
    BOOST_TEST(printed.empty());
    BOOST_TEST(printed.add("h"));
}

BOOST_AUTO_TEST_CASE(what_has_no_room_is_counted_where_it_is_missing) {
    Printed printed;
    const std::string line = std::string(999, 'x') + "\n";
    const std::size_t fit = Printed::most / line.size();
    for (std::size_t i = 0; i < fit + 7; ++i) printed.add(line);
    // Not one by one as room comes: half of it has to go first.
    BOOST_TEST(printed.take(10 * line.size()).size() == 10 * line.size());
    printed.add("too early\n");
    BOOST_TEST(printed.take(Printed::most / 2).size() == Printed::most / 2);
    printed.add("on time\n");
    const std::string text = all(printed);
    BOOST_TEST(text.find("too early") == text.npos);
    BOOST_TEST(text.ends_with("\n<lines of dprintf missing here: 8; they came faster than they could be shown>\non time\n"));
}

BOOST_AUTO_TEST_CASE(a_gap_at_the_end_is_told) {
    Printed printed;
    printed.add(std::string(Printed::most, 'x'));
    printed.add("y");
    const std::string text = all(printed);
    BOOST_TEST(text.substr(Printed::most).starts_with("\n<lines of dprintf missing here: 1;"));
    BOOST_TEST(printed.empty());
    BOOST_TEST(printed.add("z"));
    BOOST_TEST(all(printed) == "z");
}

BOOST_AUTO_TEST_CASE(one_that_is_larger_than_all_room) {
    Printed printed;
    printed.add(std::string(Printed::most + 1, 'x'));
    BOOST_TEST(all(printed).starts_with("<lines of dprintf missing here: 1;"));
    printed.add("a");
    BOOST_TEST(all(printed) == "a");
}

BOOST_AUTO_TEST_CASE(several_vcpus_print_whole_lines) {
    Printed printed;
    constexpr int lines = 2000;
    const auto vcpu = [&printed](char name) {
        for (int i = 0; i < lines; ++i) printed.add(name + std::to_string(i) + "\n");
    };
    std::thread a(vcpu, 'a');
    std::thread b(vcpu, 'b');
    std::string text;
    for (int i = 0; i < 1000; ++i) text += printed.take(7);
    a.join();
    b.join();
    text += all(printed);
    int next[2] = {};
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
        int& expected = next[line[0] == 'b' ? 1 : 0];
        BOOST_REQUIRE_EQUAL(line, line[0] + std::to_string(expected));
        ++expected;
    }
    BOOST_TEST(next[0] == lines);
    BOOST_TEST(next[1] == lines);
}

BOOST_AUTO_TEST_SUITE_END()
