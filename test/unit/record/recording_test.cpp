#define BOOST_TEST_MODULE recording
#include "record/recording.hpp"

#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include "record/replay.hpp"

#include <random>
#include <string>

using namespace asyncvm;
using namespace asyncvm::record;

namespace {

const std::string whole_text =
    "asyncvm-recording 1\n"
    "device a trial of mine\n"
    "width 4\n"
    "place port 0x300 8\n"
    "place memory 0xd0000000 16 whole\n"
    "doorbell 0 0x4 2\n"
    "doorbell 1 0x8 4 0x1\n"
    "0 write port 0x300 4 0x7\n"
    "1200 irq 5 high\n"
    "1300 done\n"
    "2000 read memory 0xd0000000 1 cpu 3\n"
    "2100 done 0x0\n"
    "2200 irq 5 low\n"
    "2300 msi 0xfee00000 0x41\n"
    "2400 ring 1\n"
    "2500 reset\n"
    "3000 read port 0x304 1\n"
    "3100 failed out of paper, sir\n"
    "3200 read port 0x304 1\n"
    "3300 cancelled\n";

const std::string head = whole_text.substr(0, whole_text.find("0 write"));

std::string written(const Recording& recording) {
    std::string text = format(recording.header);
    for (const auto& event : recording.events) text += format(event);
    return text;
}

void check_refused(const std::string& text, const std::string& message) {
    BOOST_CHECK_EXCEPTION(static_cast<void>(parse(text, "F")), Error, [&message](const Error& error) {
        BOOST_TEST(error.what() == message);
        return error.kind() == ErrorKind::usage;
    });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(text)

BOOST_AUTO_TEST_CASE(what_is_written_is_what_is_read) {
    const auto recording = parse(whole_text, "F");
    BOOST_TEST(written(recording) == whole_text);
    BOOST_TEST(recording.lines == 20u);
    BOOST_TEST(recording.events.at(4).line == 12u);
    BOOST_TEST(recording.events.at(3).cpu == 3u);
    BOOST_TEST(recording.header.doorbells.at(1).data.value() == 1u);
}

BOOST_AUTO_TEST_CASE(comments_empty_lines_and_windows_line_ends_are_taken) {
    const auto recording = parse("# mine\n\nasyncvm-recording 1\r\ndevice d\r\nplace port 1 1\n\n# here\n0 reset\r\n", "F");
    BOOST_TEST(recording.events.size() == 1u);
    BOOST_TEST(recording.events.at(0).line == 8u);
}

BOOST_AUTO_TEST_CASE(the_last_line_may_be_half_a_line) {
    const auto recording = parse(whole_text + "4000 write port 0x300 4 0x1", "F");
    BOOST_TEST(written(recording) == whole_text);
    BOOST_TEST(parse(head, "F").events.empty());
}

BOOST_AUTO_TEST_CASE(a_mistake_is_told_with_its_line) {
    check_refused("", "F:1: this is no recording: the first line of one is 'asyncvm-recording 1'");
    check_refused("asyncvm-recording 2\n", "F:1: this is no recording: the first line of one is 'asyncvm-recording 1'");
    check_refused("asyncvm-recording 1\n", "F:1: the line 'device NAME' is missing");
    check_refused("asyncvm-recording 1\ndevice d\n0 reset\n", "F:3: the line 'place …' is missing");
    check_refused(head + "x reset\n", "F:8: a time in nanoseconds is a number up to 0x4000000000000000, not 'x'");
    check_refused(head + "0 rest\n", "F:8: 'rest' is no event");
    check_refused(head + "0 reset now\n", "F:8: 'now' is too much");
    check_refused(head + "0 read disk 1 1\n", "F:8: an address is of 'port' or of 'memory', not of 'disk'");
    check_refused(head + "0 read port 1 3\n", "F:8: a size is 1, 2, 4 or 8, not 3");
    check_refused(head + "0 write port 1 1 256\n", "F:8: the data is a number up to 0xff, not '256'");
    check_refused(head + "0 irq 24 high\n", "F:8: an interrupt line is a number up to 0x17, not '24'");
    check_refused(head + "0 irq 4 up\n", "F:8: a line is 'high' or 'low', not 'up'");
    check_refused(head + "0 ring 2\n", "F:8: there is no such doorbell");
    check_refused(head + "doorbell 0 1 1\n", "F:8: doorbells are numbered from 0, one after the other");
    check_refused(head + "place port 0xffff 2\n", "F:8: 2 bytes at 0xffff are too few or too many");
    check_refused(head + "place port 0xffff 0\n", "F:8: 0 bytes at 0xffff are too few or too many");
}

BOOST_AUTO_TEST_CASE(names_and_failures_are_one_line) {
    BOOST_TEST(format(Header{.device = "two\nlines", .places = {}, .doorbells = {}})
                   .starts_with("asyncvm-recording 1\ndevice two lines\n"));
    Event event;
    event.kind = Event::Kind::failed;
    event.text = "two\nlines";
    BOOST_TEST(format(event) == "0 failed two lines\n");
}

// Damaged recordings are refused or read, and whatever is read can be played to any guest.
BOOST_AUTO_TEST_CASE(random_damage_does_no_harm) {
    std::mt19937 random(7);
    const std::string letters = "0123456789 \nxabcdefghijklmnopqrstuvw#-";
    unsigned read = 0;
    for (unsigned round = 0; round < 20'000; ++round) {
        std::string text = whole_text;
        for (unsigned damage = 1 + random() % 4; damage > 0; --damage) {
            const auto at = random() % text.size();
            switch (random() % 4) {
                case 0:
                    text[at] = letters[random() % letters.size()];
                    break;
                case 1:
                    text.erase(at, 1 + random() % 8);
                    break;
                case 2:
                    text.insert(at, 1, letters[random() % letters.size()]);
                    break;
                default:
                    text.insert(at, text.substr(random() % text.size(), random() % 40));
            }
        }
        try {
            auto recording = parse(text, "F");
            BOOST_TEST_REQUIRE(written(parse(written(recording), "F")) == written(recording));
            Replay replay(std::move(recording));
            static_cast<void>(replay.start());
            for (unsigned step = 0; step < 30; ++step) {
                if (random() % 10 == 0) static_cast<void>(replay.reset());
                Access access;
                access.space = random() % 2 == 0 ? Space::port : Space::memory;
                access.size = static_cast<std::uint8_t>(1U << random() % 4);
                access.address = access.space == Space::port ? 0x300 + random() % 9 : 0xd000'0000 + random() % 16;
                access.data = random() % 8;
                const auto answer = replay.access(access, random() % 2 == 0);
                BOOST_TEST_REQUIRE(answer.delay.count() >= 0);
            }
            ++read;
        } catch (const Error& error) {
            BOOST_TEST_REQUIRE(std::string(error.what()).starts_with("F:"));
        }
    }
    BOOST_TEST(read > 500u);
}

BOOST_AUTO_TEST_SUITE_END()
