// A recording against what a guest does.
#include <boost/test/unit_test.hpp>

#include "record/replay.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

using namespace asyncvm;
using namespace asyncvm::record;

namespace {

constexpr const char* head =
    "asyncvm-recording 1\ndevice trial\nplace port 0x300 8\nplace memory 0xd0000000 16\ndoorbell 0 0x4 2\ndoorbell 1 0x8 4 "
    "0x1\n";

struct Played {
    explicit Played(const std::string& events) : replay(parse(head + events, "F")) {}

    Replay::Step read(std::uint64_t port, std::uint8_t size = 1) { return replay.access(access(port, size, 0), false); }
    Replay::Step write(std::uint64_t port, std::uint64_t value, std::uint8_t size = 1) {
        return replay.access(access(port, size, value), true);
    }

    static Access access(std::uint64_t address, std::uint8_t size, std::uint64_t data) {
        Access made;
        made.space = address > 0xffff ? Space::memory : Space::port;
        made.address = address;
        made.size = size;
        made.data = data;
        return made;
    }

    Replay replay;
};

/// "irq 5 high +20": the interrupts of a step, and when they come.
std::string interrupts(const Replay::Step& step) {
    std::vector<std::string> all;
    for (const auto& [after, event] : step.interrupts) all.push_back(fmt::format("{} +{}", describe(event), after.count()));
    return fmt::format("{}", fmt::join(all, ", "));
}

std::string difference(const Replay::Step& step) {
    if (!step.difference) return "";
    const auto& [line, expected, found, then] = *step.difference;
    return fmt::format("{}: {} / {} / {}", line, expected, found, then);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(replay)

BOOST_AUTO_TEST_CASE(the_guest_that_was_recorded_gets_what_it_got) {
    Played played(
        "10 irq 3 high\n100 write port 0x300 1 0x7\n120 irq 5 high\n150 done\n190 irq 5 low\n"
        "200 read port 0x301 1\n260 done 0x42\n300 read memory 0xd0000000 4\n301 done 0x12345678\n");
    BOOST_TEST(interrupts(played.replay.start()) == "irq 3 high +10");
    const auto write = played.write(0x300, 7);
    BOOST_TEST(difference(write) == "");
    BOOST_TEST(write.delay.count() == 50);
    BOOST_TEST(interrupts(write) == "irq 5 high +20, irq 5 low +90");
    const auto read = played.read(0x301);
    BOOST_TEST(read.answer == 0x42u);
    BOOST_TEST(read.delay.count() == 60);
    BOOST_TEST(interrupts(read) == "");
    BOOST_TEST(played.read(0xd000'0000, 4).answer == 0x1234'5678u);
    BOOST_TEST(played.replay.next() == nullptr);
}

BOOST_AUTO_TEST_CASE(another_value_address_size_or_direction_is_a_difference) {
    for (const auto& [make, found] : std::initializer_list<std::pair<Replay::Step (*)(Played&), const char*>>{
             {[](Played& p) { return p.write(0x300, 8); }, "write port 0x300 1 0x8"},
             {[](Played& p) { return p.write(0x301, 7); }, "write port 0x301 1 0x7"},
             {[](Played& p) { return p.write(0x300, 7, 2); }, "write port 0x300 2 0x7"},
             {[](Played& p) { return p.read(0x300); }, "read port 0x300 1"}}) {
        Played played("0 write port 0x300 1 0x7\n1 done\n");
        const auto step = make(played);
        BOOST_TEST(difference(step).starts_with(fmt::format("7: write port 0x300 1 0x7 / {} / ", found)), difference(step));
        // What was expected is expected still.
        BOOST_TEST(difference(played.write(0x300, 7)) == "");
    }
}

BOOST_AUTO_TEST_CASE(what_the_recording_does_not_have_reads_all_ones) {
    Played played("0 read port 0x300 1\n1 done 0x1\n");
    const auto step = played.read(0x302, 2);
    BOOST_TEST(step.answer == 0xffffu);
    BOOST_TEST(difference(step) == "7: read port 0x300 1 / read port 0x302 2 / it reads all-ones");
    BOOST_TEST(difference(played.write(0x302, 2)) == "7: read port 0x300 1 / write port 0x302 1 0x2 / the write is ignored");
}

BOOST_AUTO_TEST_CASE(an_access_that_comes_too_early_is_found_behind) {
    Played played(
        "0 read port 0x300 1\n1 done 0x1\n2 irq 4 high\n3 write port 0x301 1 0x5\n4 done\n5 read port 0x302 1\n6 done "
        "0x3\n");
    const auto step = played.read(0x302);
    BOOST_TEST(step.answer == 3u);
    BOOST_TEST(difference(step) == "7: read port 0x300 1 / read port 0x302 1 / it goes on at line 12");
    // The line has the level that it had there.
    BOOST_TEST(interrupts(step) == "irq 4 high +0");
    BOOST_TEST(played.replay.next() == nullptr);
}

BOOST_AUTO_TEST_CASE(behind_the_end_everything_is_a_difference) {
    Played played("0 read port 0x300 1\n1 done 0x1\n");
    static_cast<void>(played.read(0x300));
    const auto step = played.read(0x300);
    BOOST_TEST(step.answer == 0xffu);
    BOOST_TEST(difference(step) == "8: nothing more / read port 0x300 1 / it reads all-ones");
}

BOOST_AUTO_TEST_CASE(a_device_that_failed_or_never_answered_reads_all_ones) {
    Played played(
        "0 read port 0x300 2\n1 failed out of paper\n2 read port 0x300 2\n3 cancelled\n4 read port 0x300 2\n5 read port "
        "0x300 2\n");
    for (unsigned i = 0; i < 4; ++i) {
        const auto step = played.read(0x300, 2);
        BOOST_TEST(step.answer == 0xffffu);
        BOOST_TEST(difference(step) == "");
        BOOST_TEST(step.delay.count() == (i < 2 ? 1 : 0));
    }
}

BOOST_AUTO_TEST_CASE(a_doorbell_may_be_heard_later_and_once_for_many) {
    Played played("0 read port 0x300 1\n1 done 0x1\n2 ring 0\n3 irq 5 high\n4 ring 1\n5 read port 0x301 1\n6 done 0x2\n");
    BOOST_TEST(difference(played.write(0x304, 9, 2)) == "");
    BOOST_TEST(difference(played.write(0x304, 8, 2)) == "");
    const auto read = played.read(0x300);
    BOOST_TEST(difference(read) == "");
    BOOST_TEST(interrupts(read) == "irq 5 high +1");
    // Only the value that rings it: 0x308 would be another range's end.
    BOOST_TEST(difference(played.write(0xd000'0008, 1, 4)) == "");
    BOOST_TEST(played.read(0x301).answer == 2u);
    BOOST_TEST(played.replay.next() == nullptr);
}

BOOST_AUTO_TEST_CASE(a_doorbell_may_be_heard_while_an_access_waits) {
    Played played("0 read port 0x300 1\n1 ring 0\n5 done 0x1\n6 irq 4 high\n");
    BOOST_TEST(difference(played.write(0x304, 9, 2)) == "");
    const auto read = played.read(0x300);
    BOOST_TEST(difference(read) == "");
    BOOST_TEST(read.answer == 1u);
    BOOST_TEST(read.delay.count() == 5);
    BOOST_TEST(interrupts(read) == "irq 4 high +5");
    BOOST_TEST(played.replay.next() == nullptr);
}

BOOST_AUTO_TEST_CASE(a_doorbell_that_nobody_rings_is_a_difference) {
    Played played("0 ring 0\n1 read port 0x301 1\n2 done 0x2\n");
    const auto step = played.read(0x301);
    BOOST_TEST(step.answer == 2u);
    BOOST_TEST(difference(step) == "7: ring 0 / read port 0x301 1 / it goes on at line 8");
}

BOOST_AUTO_TEST_CASE(interrupts_after_a_doorbell_come_when_it_is_rung) {
    Played played("0 ring 0\n7 irq 5 high\n");
    BOOST_TEST(interrupts(played.write(0x304, 0, 2)) == "irq 5 high +7");
}

BOOST_AUTO_TEST_CASE(a_reset_goes_on_behind_the_recorded_one) {
    Played played("0 read port 0x300 1\n1 done 0x1\n2 reset\n3 irq 2 high\n4 read port 0x300 1\n5 done 0x2\n");
    static_cast<void>(played.read(0x300));
    const auto step = played.replay.reset();
    BOOST_TEST(difference(step) == "");
    BOOST_TEST(interrupts(step) == "irq 2 high +1");
    BOOST_TEST(played.read(0x300).answer == 2u);
    const auto another = played.replay.reset();
    BOOST_TEST(difference(another) == "12: nothing more / reset / the recording starts again");
    BOOST_TEST(played.read(0x300).answer == 1u);
}

BOOST_AUTO_TEST_CASE(a_reset_that_comes_too_early_skips) {
    Played played("0 read port 0x300 1\n1 done 0x1\n2 reset\n3 read port 0x301 1\n4 done 0x2\n");
    BOOST_TEST(difference(played.replay.reset()) == "7: read port 0x300 1 / reset / it goes on at line 9");
    BOOST_TEST(played.read(0x301).answer == 2u);
}

BOOST_AUTO_TEST_SUITE_END()
