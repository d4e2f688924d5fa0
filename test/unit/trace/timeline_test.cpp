#include "trace/timeline.hpp"

#include <random>

#include "checked_format.hpp"

using namespace asyncvm::trace;
using namespace asyncvm::trace::test;

namespace {

Record record(std::uint64_t time, Kind kind) {
    Record made;
    made.time = time;
    made.kind = kind;
    return made;
}

struct Fixture {
    Names names;
    CheckedFormat format;
    Timeline timeline{format, names};

    void expect(const std::vector<std::string>& lines) {
        BOOST_TEST(format.lines == lines, boost::test_tools::per_element());
        format.lines.clear();
    }
    void take(unsigned source, const Record& one) { timeline.take(source, std::span(&one, 1)); }

    Record write_to_uart(std::uint64_t time) {
        Record made = record(time, Kind::exited_for);
        made.address = 0x3f8;
        made.size = 1;
        made.count = 1;
        made.write = true;
        made.value = 0x41;
        made.subject = names.number("uart16550");
        return made;
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(timeline)

BOOST_FIXTURE_TEST_CASE(an_access_that_waits_is_three_slices_in_each_other, Fixture) {
    const auto cpu = timeline.add_source(3);
    take(cpu, record(10, Kind::entered));
    take(cpu, write_to_uart(20));
    take(cpu, record(25, Kind::suspended));
    take(cpu, record(30, Kind::resumed));
    take(cpu, record(31, Kind::suspended));
    take(cpu, record(40, Kind::entered));
    expect({"track 0x103: vCPU 3", "10: 0x103 begins guest", "20: 0x103 ends",
            "20: 0x103 begins uart16550 write port=1016 size=1 value=65", "25: 0x103 begins waiting", "30: 0x103 ends",
            "31: 0x103 begins waiting", "40: 0x103 ends", "40: 0x103 ends", "40: 0x103 begins guest"});
    take(cpu, record(50, Kind::ended));
    expect({"50: 0x103 ends"});
}

BOOST_FIXTURE_TEST_CASE(what_a_read_has_got_is_known_at_its_end, Fixture) {
    const auto cpu = timeline.add_source(0);
    Record read = record(5, Kind::exited_for);
    read.address = 0xfee00000;
    read.memory = true;
    read.size = 4;
    read.count = 3;
    take(cpu, read);
    Record next = record(9, Kind::entered);
    next.answered = true;
    next.value = 77;
    take(cpu, next);
    expect({"track 0x100: vCPU 0", "5: 0x100 begins no device read address=4276092928 size=4 count=3",
            "9: 0x100 ends value=77", "9: 0x100 begins guest"});
}

BOOST_FIXTURE_TEST_CASE(an_exit_that_is_no_access_is_an_instant_and_a_kick_is_none, Fixture) {
    const auto cpu = timeline.add_source(0);
    take(cpu, record(1, Kind::entered));
    Record kicked = record(2, Kind::exited);
    kicked.subject = 4;
    take(cpu, kicked);
    take(cpu, record(3, Kind::entered));
    Record halted = record(4, Kind::exited);
    halted.subject = 2;
    take(cpu, halted);
    expect({"track 0x100: vCPU 0", "1: 0x100 begins guest", "2: 0x100 ends", "3: 0x100 begins guest", "4: 0x100 ends",
            "4: 0x100 halted"});
}

BOOST_FIXTURE_TEST_CASE(an_arrow_goes_from_the_device_at_work_through_the_interrupt_to_the_guest, Fixture) {
    const auto cpu = timeline.add_source(0);
    const auto loop = timeline.add_source(Timeline::no_cpu);
    take(cpu, write_to_uart(1));
    Record raised = record(2, Kind::interrupt);
    raised.address = 4;
    raised.write = true;
    raised.value = 9;
    take(cpu, raised);
    Record next = record(3, Kind::entered);
    next.address = 9;
    take(cpu, next);
    format.lines.erase(format.lines.begin(), format.lines.begin() + 2);
    expect({"track 0x3: interrupts", "2: 0x100 IRQ 4 raised flow 9 begins", "2: 0x3 IRQ 4 raised flow 9 passes",
            "3: 0x100 ends", "3: 0x100 begins guest flow 9 ends"});
    raised.time = 4;
    raised.value = 10;
    take(loop, raised);
    raised.time = 5;
    raised.write = false;
    raised.value = 0;
    take(loop, raised);
    expect({"4: 0x3 IRQ 4 raised flow 10 begins", "5: 0x3 IRQ 4 lowered"});
}

BOOST_FIXTURE_TEST_CASE(a_message_is_an_interrupt_too, Fixture) {
    const auto cpu = timeline.add_source(0);
    const auto loop = timeline.add_source(Timeline::no_cpu);
    Record message = record(2, Kind::message);
    message.address = 0xfee01000;
    message.count = 0x4131;
    message.value = 9;
    take(loop, message);
    expect({"track 0x3: interrupts", "2: 0x3 MSI vector 49 address=4276097024 data=16689 flow 9 begins"});
    take(cpu, write_to_uart(3));
    message.time = 4;
    message.value = 10;
    take(cpu, message);
    format.lines.erase(format.lines.begin(), format.lines.begin() + 2);
    expect({"4: 0x100 MSI vector 49 address=4276097024 data=16689 flow 10 begins",
            "4: 0x3 MSI vector 49 address=4276097024 data=16689 flow 10 passes"});
}

BOOST_FIXTURE_TEST_CASE(what_was_lost_is_a_slice_of_its_own_and_nothing_stays_open_across_it, Fixture) {
    const auto cpu = timeline.add_source(0);
    take(cpu, write_to_uart(5));
    take(cpu, record(6, Kind::suspended));
    Record lost = record(20, Kind::lost);
    lost.value = 1000;
    take(cpu, lost);
    take(cpu, record(20, Kind::resumed));
    take(cpu, record(21, Kind::entered));
    expect({"track 0x100: vCPU 0", "5: 0x100 begins uart16550 write port=1016 size=1 value=65", "6: 0x100 begins waiting",
            "6: 0x100 ends", "6: 0x100 ends", "gap of 0", "6: 0x100 begins not recorded records=1000", "20: 0x100 ends",
            "21: 0x100 begins guest"});
}

BOOST_FIXTURE_TEST_CASE(what_was_lost_before_anything_else_begins_where_it_is_told, Fixture) {
    const auto cpu = timeline.add_source(0);
    Record lost = record(20, Kind::lost);
    lost.value = 9;
    take(cpu, lost);
    expect({"track 0x100: vCPU 0", "gap of 0", "20: 0x100 begins not recorded records=9", "20: 0x100 ends"});
}

BOOST_FIXTURE_TEST_CASE(what_a_read_has_got_is_nothing_of_the_guests_slice, Fixture) {
    const auto cpu = timeline.add_source(0);
    take(cpu, record(1, Kind::entered));
    Record next = record(2, Kind::entered);
    next.answered = true;
    next.value = 77;
    take(cpu, next);
    expect({"track 0x100: vCPU 0", "1: 0x100 begins guest", "2: 0x100 ends", "2: 0x100 begins guest"});
}

BOOST_FIXTURE_TEST_CASE(chardevs_the_loop_and_the_machine_have_tracks_of_their_own, Fixture) {
    const auto one = timeline.add_source(Timeline::no_cpu);
    const auto other = timeline.add_source(Timeline::no_cpu);
    const auto of = [this](std::uint64_t time, Kind kind, std::string_view name, std::uint64_t value = 0) {
        Record made = record(time, kind);
        made.subject = names.number(name);
        made.value = value;
        return made;
    };
    take(one, of(1, Kind::client_came, "serial0"));
    take(one, of(2, Kind::output, "serial0", 512));
    take(one, of(3, Kind::full, "serial0"));
    take(other, of(4, Kind::has_room, "serial0"));
    take(other, of(5, Kind::input, "serial0", 3));
    take(one, of(6, Kind::client_left, "serial0"));
    expect({"track 0x100004: serial0", "1: 0x100004 client came", "track 0x100005: serial0 output",
            "2: 0x100005 serial0 output = 512", "3: 0x100004 begins full", "4: 0x100004 ends",
            "track 0x100006: serial0 input", "5: 0x100006 serial0 input = 3", "6: 0x100004 client left"});
    take(one, of(7, Kind::loop_begins, "sleep"));
    take(one, of(8, Kind::loop_ends, "sleep"));
    take(one, of(9, Kind::rung, "virtio-rng", 2));
    expect({"track 0x4: device loop", "track 0x10002: sleep", "7: 0x10002 begins access", "8: 0x10002 ends",
            "track 0x10003: virtio-rng", "9: 0x10003 doorbell times=2"});
    take(one, record(10, Kind::run_begins));
    take(one, record(11, Kind::paused));
    take(one, record(12, Kind::reset));
    take(other, record(13, Kind::unpaused));
    take(one, record(14, Kind::paused));
    take(one, record(15, Kind::run_ended));
    expect({"track 0x2: machine", "10: 0x2 run begins", "11: 0x2 begins paused", "12: 0x2 reset", "13: 0x2 ends",
            "14: 0x2 begins paused", "15: 0x2 ends", "15: 0x2 run ended"});
    Record writes = of(16, Kind::posted, "post");
    writes.address = 0x80;
    writes.size = 1;
    writes.count = 40;
    writes.write = true;
    take(one, writes);
    expect({"track 0x5: posted writes", "16: 0x5 post port=128 size=1 count=40 value=0"});
}

BOOST_FIXTURE_TEST_CASE(what_a_person_or_a_device_does_has_names_and_values, Fixture) {
    const auto one = timeline.add_source(Timeline::no_cpu);
    const auto of = [this](Kind kind, std::string_view subject, std::string_view other = {}, std::uint64_t value = 0) {
        Record made = record(7, kind);
        made.subject = names.number(subject);
        made.count = names.number(other);
        made.value = value;
        return made;
    };
    take(one, of(Kind::elsewhere, "serial0", "tcp:127.0.0.1:4444"));
    expect({"track 0x100004: serial0", "7: 0x100004 goes elsewhere to=\"tcp:127.0.0.1:4444\""});
    take(one, of(Kind::disk_changed, "disk0", "b.img", 512));
    take(one, of(Kind::disk_resized, "disk0", {}, 1024));
    expect({"track 0x200003: disk0", "7: 0x200003 another image bytes=512 image=\"b.img\"",
            "7: 0x200003 resized bytes=1024"});
    take(one, of(Kind::told, "pvpanic", "the guest's kernel panicked"));
    expect({"track 0x2: machine", "7: 0x2 the guest's kernel panicked device=\"pvpanic\""});
    Record stop = of(Kind::debugger_stopped, "asked for");
    take(one, stop);
    stop = of(Kind::debugger_stopped, "step");
    stop.count = 1;
    take(one, stop);
    stop = of(Kind::debugger_stopped, "breakpoint");
    stop.count = 4;
    stop.address = 65;
    take(one, stop);
    take(one, record(8, Kind::debugger_goes_on));
    expect({"7: 0x2 stopped by the debugger reason=\"asked for\"", "7: 0x2 stopped by the debugger reason=\"step\" vCPU=0",
            "7: 0x2 stopped by the debugger reason=\"breakpoint\" vCPU=3 address=65", "8: 0x2 released by the debugger"});
}

BOOST_AUTO_TEST_CASE(a_name_has_an_end) {
    Names names;
    const std::string long_name(Names::longest + 1, 'x');
    const auto number = names.number(long_name);
    BOOST_TEST(names.name(number) == long_name.substr(1));
    BOOST_TEST(names.number(long_name + "y") == number);
    BOOST_TEST(names.number(long_name.substr(2)) == number + 1);
}

BOOST_FIXTURE_TEST_CASE(what_was_lost_of_other_threads_is_an_instant_of_the_machine, Fixture) {
    const auto loop = timeline.add_source(Timeline::no_cpu);
    take(loop, record(5, Kind::run_begins));
    Record lost = record(20, Kind::lost);
    lost.value = 3;
    take(loop, lost);
    expect({"track 0x2: machine", "5: 0x2 run begins", "gap of 0", "20: 0x2 not recorded records=3"});
}

BOOST_FIXTURE_TEST_CASE(the_end_closes_what_is_open_and_tells_what_was_lost, Fixture) {
    const auto cpu = timeline.add_source(0);
    take(cpu, write_to_uart(5));
    take(cpu, record(6, Kind::suspended));
    take(timeline.add_source(Timeline::no_cpu), record(7, Kind::paused));
    format.lines.clear();
    timeline.finish(100, 3);
    expect({"100: 0x100 ends", "100: 0x100 ends", "100: 0x2 ends", "100: 0x2 trace ends lost records=3"});
}

BOOST_FIXTURE_TEST_CASE(a_trace_of_nothing_has_an_end, Fixture) {
    timeline.finish(100, 0);
    expect({"track 0x2: machine", "100: 0x2 trace ends lost records=0"});
}

BOOST_FIXTURE_TEST_CASE(whatever_comes_slices_nest_and_time_does_not_go_back, Fixture) {
    std::mt19937_64 random(20261129);
    for (unsigned source = 0; source < 5; ++source) timeline.add_source(source < 3 ? source : Timeline::no_cpu);
    for (const char* const name : {"a", "b", "c"}) static_cast<void>(names.number(name));
    std::uint64_t time = 1000;
    for (int i = 0; i < 20'000; ++i) {
        Record any = record(time - random() % 50, static_cast<Kind>(random() % 34));
        time += random() % 20;
        any.address = random();
        any.value = random();
        any.subject = static_cast<std::uint16_t>(random() % 6);
        any.count = static_cast<std::uint16_t>(random());
        any.size = static_cast<std::uint8_t>(random());
        any.write = (random() & 1) != 0;
        any.memory = (random() & 1) != 0;
        any.answered = (random() & 1) != 0;
        take(static_cast<unsigned>(random() % 5), any);
        for (const auto& [track, depth] : format.depth) {
            if (depth > 2) BOOST_TEST_FAIL("slices pile up on track " << track);
        }
    }
    timeline.finish(time, 0);
    for (const auto& [track, depth] : format.depth)
        BOOST_TEST(depth == 0, "track " << track << " has a slice that never ends");
}

BOOST_AUTO_TEST_SUITE_END()
