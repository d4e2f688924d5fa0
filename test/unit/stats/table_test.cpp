#include <asyncvm/statistics.hpp>

#include <boost/test/unit_test.hpp>

#include <regex>
#include <sstream>

using namespace asyncvm;
using namespace std::chrono_literals;

namespace {

Statistics busy() {
    Statistics statistics;
    statistics.elapsed = 2s;
    statistics.exits = {{"port", 30}, {"memory", 0}, {"halted", 1}};
    PlaceStatistics uart;
    uart.range = {.first = 0x3f8, .size = 8};
    uart.device = "uart16550";
    uart.reads = 20;
    uart.writes = 9;
    uart.bytes = 29;
    uart.posted = 1000;
    uart.in_guest = {29, 290us, 9810ns, 11us};
    uart.in_device = {29, 1500ms, 812ns, 499600us};
    uart.waiting = {3, 1499ms, 500ms, 999600us};
    PlaceStatistics absent;
    absent.range = {.first = 0, .size = 0x10000};
    absent.reads = 1;
    absent.bytes = 1;
    absent.in_guest = {1, 9us, 9us, 9us};
    absent.in_device = {1, 50ns, 50ns, 50ns};
    PlaceStatistics idle;
    idle.space = Space::memory;
    idle.range = {.first = 0xd0000000, .size = 4};
    idle.device = "disk";
    PlaceStatistics unplaced;
    unplaced.space = Space::memory;
    unplaced.range = {.first = 0, .size = 0};
    unplaced.device = "card";
    statistics.places = {uart, absent, idle, unplaced};
    statistics.unclaimed = {{Space::port, {.address = 0x64, .reads = 1, .writes = 0}},
                            {Space::memory, {.address = 0xfee00020, .reads = 0, .writes = 7}}};
    CpuStatistics waits;
    waits.state = CpuStatistics::State::waiting;
    waits.since = 1234567us;
    waits.place = 0;
    waits.in_guest = 299us;
    waits.in_device = 1500ms;
    waits.waiting = 1499ms;
    waits.wake_ups = 3;
    CpuStatistics halted;
    halted.state = CpuStatistics::State::ended;
    halted.in_guest = 2000s;
    statistics.cpus = {waits, halted};
    statistics.loop_wake_ups = 17;
    return statistics;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(table)

BOOST_AUTO_TEST_CASE(it_shows_what_there_is) {
    const StreamStatistics stream{"serial0", "tcp:127.0.0.1:4444", {.from_guest = 1029, .to_guest = 5}};
    BOOST_TEST(format_statistics(busy(), {&stream, 1}) == R"(statistics of 2.00s

exit    count  per-second
port       30          15
halted      1           0
all        31          16

place             device     reads  writes  bytes  posted
port:0x3f8-0x3ff  uart16550     20       9     29    1000
port:other        none           1       0      1       0

place             in-guest     p50     p99  in-device    p50    p99  waits  waiting    p50    p99
port:0x3f8-0x3ff     290us  9.81us  11.0us      1.50s  812ns  500ms      3    1.50s  500ms  1.00s
port:other          9.00us  9.00us  9.00us       50ns   50ns   50ns      0        -      -      -

never-accessed disk=mem:0xd0000000-0xd0000003 card=mem:nowhere

no-device       reads  writes
port:0x64           1       0
mem:0xfee00020      0       7

cpu    state    since  place             in-guest  in-device  waiting  wake-ups
vcpu0  waiting  1.23s  port:0x3f8-0x3ff     299us      1.50s    1.50s         3
vcpu1  ended    -      -                    2000s        0ns      0ns         0
loop   -        -      -                        -          -        -        17

stream   where               to-guest  from-guest
serial0  tcp:127.0.0.1:4444         5        1029
)");
}

BOOST_AUTO_TEST_CASE(each_line_of_a_table_has_as_many_words_as_its_title) {
    std::istringstream lines(format_statistics(busy()));
    const auto words = [](const std::string& line) {
        const std::regex word("[^ ]+");
        return std::distance(std::sregex_iterator(line.begin(), line.end(), word), std::sregex_iterator());
    };
    std::string line;
    std::getline(lines, line);
    std::getline(lines, line);
    std::ptrdiff_t width = 0;
    int tables = 0;
    while (std::getline(lines, line)) {
        if (line.empty()) {
            width = 0;
        } else if (width == 0) {
            width = words(line);
            ++tables;
        } else {
            BOOST_TEST(words(line) == width, line);
        }
    }
    BOOST_TEST(tables == 6);
}

BOOST_AUTO_TEST_CASE(a_machine_that_has_not_run_has_a_short_one) {
    BOOST_TEST(format_statistics({}) == R"(statistics of 0ns

exit  count  per-second
all       0           0

cpu   state  since  place  in-guest  in-device  waiting  wake-ups
loop  -      -      -             -          -        -         0
)");
}

BOOST_AUTO_TEST_SUITE_END()
