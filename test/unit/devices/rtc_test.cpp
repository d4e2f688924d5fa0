// The real-time clock: its registers, and the device around them.
#define BOOST_TEST_MODULE rtc
#include <boost/test/unit_test.hpp>

#include "device_runner.hpp"
#include "devices/rtc_registers.hpp"
#include "surroundings.hpp"

#include <asyncvm/devices.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>

using namespace asyncvm;
using namespace std::chrono_literals;
using R = RtcRegisters;

namespace {

/// 2026-11-28 is a Saturday.
constexpr auto afternoon = std::chrono::sys_days(std::chrono::year(2026) / 11 / 28).time_since_epoch() + 21h + 59min + 58s;

/// Registers with a time that the test moves.
struct Clock {
    explicit Clock(R::Duration day = afternoon) : now{day, 0ns} { registers.start(now); }

    void pass(R::Duration time) {
        now.day += time;
        now.running += time;
    }
    unsigned get(unsigned index) {
        registers.index = static_cast<std::uint8_t>(index);
        return registers.read(now);
    }
    void set(unsigned index, unsigned value) {
        registers.index = static_cast<std::uint8_t>(index);
        registers.write(static_cast<std::uint8_t>(value), now);
    }
    bool interrupt() { return registers.interrupt_pending(now); }
    bool updating() { return (get(R::register_a) & R::a_update_in_progress) != 0; }

    R::Now now;
    R registers;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(time_of_day, Clock)

BOOST_AUTO_TEST_CASE(it_is_the_machine_s_in_bcd_with_24_hours) {
    BOOST_TEST(get(R::register_b) == R::b_24_hours);
    BOOST_TEST(get(R::register_d) == R::d_valid);
    BOOST_TEST(get(R::seconds) == 0x58u);
    BOOST_TEST(get(R::minutes) == 0x59u);
    BOOST_TEST(get(R::hours) == 0x21u);
    BOOST_TEST(get(R::weekday) == 7u);
    BOOST_TEST(get(R::day) == 0x28u);
    BOOST_TEST(get(R::month) == 0x11u);
    BOOST_TEST(get(R::year) == 0x26u);
    BOOST_TEST(get(R::century) == 0x20u);
    pass(2h + 2s);
    BOOST_TEST(get(R::seconds) == 0u);
    BOOST_TEST(get(R::hours) == 0u);
    BOOST_TEST(get(R::weekday) == 1u);
    BOOST_TEST(get(R::day) == 0x29u);
}

BOOST_AUTO_TEST_CASE(register_b_chooses_binary_numbers_and_12_hours) {
    set(R::register_b, R::b_binary);
    BOOST_TEST(get(R::minutes) == 59u);
    BOOST_TEST(get(R::hours) == (0x80u | 9));
    pass(3h);
    BOOST_TEST(get(R::hours) == 12u);  // midnight
    pass(11h);
    BOOST_TEST(get(R::hours) == 11u);
    pass(1h);
    BOOST_TEST(get(R::hours) == (0x80u | 12));
    set(R::register_b, 0);
    BOOST_TEST(get(R::hours) == 0x92u);
}

BOOST_AUTO_TEST_CASE(it_can_be_set_while_it_is_stopped_and_goes_on_from_there) {
    set(R::register_b, R::b_24_hours | R::b_set);
    BOOST_TEST(get(R::seconds) == 0x58u);
    pass(10s);
    BOOST_TEST(get(R::seconds) == 0x58u);
    for (const auto& [index, value] : {std::pair{R::seconds, 0x30u},
                                       {R::minutes, 0x15u},
                                       {R::hours, 0x08u},
                                       {R::weekday, 0x02u},
                                       {R::day, 0x29u},
                                       {R::month, 0x02u},
                                       {R::year, 0x00u},
                                       {R::century, 0x20u}}) {
        set(index, value);
    }
    BOOST_TEST(get(R::month) == 0x02u);
    set(R::register_b, R::b_24_hours);
    BOOST_TEST(get(R::hours) == 0x08u);
    BOOST_TEST(get(R::weekday) == 2u);  // what the guest says, although that day was a Tuesday
    pass(24h + 1s);
    BOOST_TEST(get(R::seconds) == 0x31u);
    BOOST_TEST(get(R::day) == 0x01u);
    BOOST_TEST(get(R::month) == 0x03u);
    BOOST_TEST(get(R::weekday) == 3u);
    registers.reset();
    BOOST_TEST(get(R::month) == 0x03u);
    BOOST_TEST(get(R::year) == 0x00u);
}

BOOST_AUTO_TEST_CASE(it_can_be_set_while_it_runs) {
    set(R::hours, 0x01);
    set(R::year, 0x99);
    BOOST_TEST(get(R::hours) == 0x01u);
    BOOST_TEST(get(R::minutes) == 0x59u);
    BOOST_TEST(get(R::year) == 0x99u);
    BOOST_TEST(get(R::century) == 0x20u);
}

BOOST_AUTO_TEST_CASE(after_the_divider_was_held_the_first_update_comes_half_a_second_later) {
    pass(300ms);
    set(R::register_a, 0x70);
    pass(10s);
    BOOST_TEST(get(R::seconds) == 0x58u);
    set(R::register_a, 0x26);
    pass(499ms);
    BOOST_TEST(get(R::seconds) == 0x58u);
    pass(1ms);
    BOOST_TEST(get(R::seconds) == 0x59u);
    pass(999ms);
    BOOST_TEST(get(R::seconds) == 0x59u);
    pass(1ms);
    BOOST_TEST(get(R::seconds) == 0x00u);
}

BOOST_AUTO_TEST_CASE(an_update_is_announced_once_a_second) {
    BOOST_TEST(!updating());
    pass(1s - R::update_time - 1ns);
    BOOST_TEST(!updating());
    pass(1ns);
    BOOST_TEST(updating());
    BOOST_TEST(get(R::seconds) == 0x58u);
    pass(R::update_time - 1ns);
    BOOST_TEST(updating());
    pass(1ns);
    BOOST_TEST(!updating());
    BOOST_TEST(get(R::seconds) == 0x59u);
    set(R::register_b, R::b_24_hours | R::b_set);
    pass(1s - 1ms);
    BOOST_TEST(!updating());
}

BOOST_AUTO_TEST_CASE(numbers_that_are_no_date_do_no_harm) {
    for (unsigned value = 0; value < 256; ++value) {
        set(R::register_b, (value * 37) & 0x87);
        for (const unsigned index : {0u, 2u, 4u, 6u, 7u, 8u, 9u, 0x32u}) set(index, value + index * 11);
        set(R::register_b, R::b_24_hours | R::b_binary);
        BOOST_TEST(get(R::seconds) < 60u);
        BOOST_TEST(get(R::hours) < 24u);
        BOOST_TEST(get(R::month) - 1 < 12u);
        BOOST_TEST(get(R::day) - 1 < 31u);
        BOOST_TEST(get(R::weekday) - 1 < 7u);
    }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(interrupts, Clock)

BOOST_AUTO_TEST_CASE(nothing_has_happened_at_the_start) {
    set(R::hours_alarm, 0xff);
    set(R::minutes_alarm, 0xff);
    set(R::seconds_alarm, 0xff);
    BOOST_TEST(get(R::register_c) == 0u);
    BOOST_TEST(!registers.next_interrupt(now).has_value());
}

BOOST_AUTO_TEST_CASE(an_update_interrupts_until_c_is_read) {
    set(R::register_a, 0x20);
    set(R::register_b, R::b_24_hours | R::b_update);
    BOOST_TEST((registers.next_interrupt(now) == 1s));
    pass(999ms);
    BOOST_TEST(!interrupt());
    pass(1ms);
    BOOST_TEST(interrupt());
    BOOST_TEST(!registers.next_interrupt(now).has_value());
    BOOST_TEST((get(R::register_c) & 0xd0) == (R::c_interrupt | R::b_update));
    BOOST_TEST(!interrupt());
    BOOST_TEST(get(R::register_c) == 0u);
    BOOST_TEST((registers.next_interrupt(now) == 1s));
}

BOOST_AUTO_TEST_CASE(flags_are_kept_while_their_interrupts_are_off_and_interrupt_when_they_are_enabled) {
    set(R::register_a, 0x20);
    pass(1s);
    BOOST_TEST(!interrupt());
    set(R::register_b, R::b_24_hours | R::b_update);
    BOOST_TEST(interrupt());
    set(R::register_b, R::b_24_hours);
    BOOST_TEST(!interrupt());
    registers.reset();
    BOOST_TEST((get(R::register_c) & R::b_update) == 0u);
}

BOOST_AUTO_TEST_CASE(setting_the_clock_stops_updates_and_their_interrupt) {
    set(R::register_b, R::b_24_hours | R::b_update | R::b_set);
    BOOST_TEST(get(R::register_b) == (R::b_24_hours | R::b_set));
    pass(5s);
    BOOST_TEST((get(R::register_c) & R::b_update) == 0u);
}

BOOST_AUTO_TEST_CASE(an_alarm_comes_at_its_time_once_a_day) {
    set(R::register_a, 0x20);
    set(R::seconds_alarm, 0x03);
    set(R::minutes_alarm, 0x00);
    set(R::hours_alarm, 0x22);
    set(R::register_b, R::b_24_hours | R::b_alarm);
    BOOST_TEST((registers.next_interrupt(now) == 5s));
    pass(4999ms);
    BOOST_TEST(!interrupt());
    pass(1ms);
    BOOST_TEST(interrupt());
    BOOST_TEST((get(R::register_c) & R::b_alarm) == R::b_alarm);
    pass(500ms);
    BOOST_TEST((registers.next_interrupt(now) == 24h - 500ms));
    pass(24h - 501ms);
    BOOST_TEST(!interrupt());
    pass(1h);
    BOOST_TEST(interrupt());
}

BOOST_AUTO_TEST_CASE(an_alarm_of_c0_and_more_matches_everything) {
    set(R::register_a, 0x20);
    set(R::register_b, R::b_24_hours | R::b_alarm);
    set(R::hours_alarm, 0xc0);
    set(R::minutes_alarm, 0xff);
    set(R::seconds_alarm, 0x10);
    BOOST_TEST((registers.next_interrupt(now) == 12s));
    set(R::seconds_alarm, 0x00);
    set(R::minutes_alarm, 0x00);
    BOOST_TEST((registers.next_interrupt(now) == 2s));  // the minutes that do not match end there
    set(R::minutes_alarm, 0xff);
    set(R::seconds_alarm, 0xc0);
    BOOST_TEST((registers.next_interrupt(now) == 1s));
    set(R::hours_alarm, 0x77);
    BOOST_TEST(!registers.next_interrupt(now).has_value());
    pass(48h);
    BOOST_TEST(!interrupt());
}

BOOST_AUTO_TEST_CASE(the_alarm_is_written_as_the_hours_are) {
    set(R::register_a, 0x20);
    set(R::register_b, R::b_alarm);  // BCD, 12 hours
    set(R::hours_alarm, 0x90);       // 10 in the evening
    set(R::minutes_alarm, 0x00);
    set(R::seconds_alarm, 0x00);
    BOOST_TEST((registers.next_interrupt(now) == 2s));
}

BOOST_AUTO_TEST_CASE(the_periodic_rate_follows_register_a) {
    struct Rate {
        unsigned bits;
        unsigned hertz;
    };
    for (const auto& [bits, hertz] :
         {Rate{1, 256}, Rate{2, 128}, Rate{3, 8192}, Rate{6, 1024}, Rate{8, 256}, Rate{10, 64}, Rate{15, 2}}) {
        Clock clock;
        clock.set(R::register_a, 0x20 | bits);
        clock.set(R::register_b, R::b_24_hours | R::b_periodic);
        unsigned count = 0;
        while (clock.now.running < 1s) {
            const auto next = clock.registers.next_interrupt(clock.now);
            BOOST_REQUIRE(next.has_value());
            clock.pass(*next);
            BOOST_REQUIRE(clock.interrupt());
            BOOST_REQUIRE((clock.get(R::register_c) & R::b_periodic) == R::b_periodic);
            ++count;
        }
        BOOST_TEST(count == hertz, "rate " << bits);
    }
    set(R::register_a, 0x20);
    set(R::register_b, R::b_24_hours | R::b_periodic);
    BOOST_TEST(!registers.next_interrupt(now).has_value());
    set(R::register_a, 0x7f);
    BOOST_TEST(!registers.next_interrupt(now).has_value());
}

BOOST_AUTO_TEST_SUITE_END()

namespace {

/// A clock of a machine with memory as the test wants it.
struct Board : DeviceRunner {
    explicit Board(std::uint64_t ram_size = GuestMemory::page_size, unsigned cpus = 1)
        : ram(ram_size), device(make_rtc(cpus)) {
        surroundings.clock.set_time_of_day(std::chrono::system_clock::time_point(afternoon));
        const auto context = surroundings.context();
        device->attached({.memory = ram,
                          .loop = context.loop,
                          .log = {},
                          .clock = context.clock,
                          .random = context.random,
                          .gate = context.gate,
                          .irq = context.irq});
        background.start(device->run());
        background.poll();
    }

    unsigned get(unsigned index) {
        write(*device, at(0, index));
        const auto value = read(*device, at(1));
        background.poll();
        return static_cast<unsigned>(value);
    }
    unsigned get_word(unsigned index) { return get(index) | get(index + 1) << 8; }
    void set(unsigned index, unsigned value) {
        write(*device, at(0, index));
        write(*device, at(1, value));
        background.poll();
    }
    void pass(MachineClock::duration time) {
        surroundings.clock.advance(time);
        background.poll();
    }
    static Access at(unsigned offset, unsigned value = 0) {
        Access access = make_access(0x70 + offset, 1, value);
        access.offset = offset;
        return access;
    }

    asio::io_context loop{1};
    Surroundings surroundings{loop};
    GuestMemory ram;
    std::shared_ptr<Device> device;
    DeviceRunner background;
    const Surroundings::Pin& irq = surroundings.pins[8];
};

constexpr std::uint64_t mib = 1 << 20;

}  // namespace

BOOST_AUTO_TEST_SUITE(device)

BOOST_AUTO_TEST_CASE(the_index_is_kept_with_the_bit_that_masks_nmis) {
    Board board;
    board.write(*board.device, Board::at(0, 0x8f));
    BOOST_TEST(board.read(*board.device, Board::at(0)) == 0x8fu);
    board.write(*board.device, Board::at(1, 0x0a));
    BOOST_TEST(board.get(R::shutdown) == 0x0au);
    board.device->reset();
    BOOST_TEST(board.get(R::shutdown) == 0x0au);
}

BOOST_AUTO_TEST_CASE(a_new_clock_has_seen_no_update) {
    Board board;
    board.set(R::register_a, 0x20);
    BOOST_TEST(board.get(R::register_c) == 0u);
    board.pass(1s);
    BOOST_TEST(board.get(R::register_c) == R::b_update);
}

BOOST_AUTO_TEST_CASE(the_ram_says_how_much_memory_there_is) {
    struct Case {
        std::uint64_t ram;
        unsigned above_1m;   // KiB
        unsigned above_16m;  // 64 KiB
    };
    for (const auto& [ram, above_1m, above_16m] : {Case{mib / 2, 0, 0}, Case{16 * mib, 15 * 1024, 0},
                                                   Case{64 * mib, 63 * 1024, 48 * 16}, Case{256 * mib, 0xffff, 240 * 16}}) {
        Board board(ram);
        BOOST_TEST(board.get_word(0x15) == 640u);
        BOOST_TEST(board.get_word(0x17) == above_1m);
        BOOST_TEST(board.get_word(0x30) == above_1m);
        BOOST_TEST(board.get_word(0x34) == above_16m);
        BOOST_TEST((board.get_word(0x5b) | board.get(0x5d)) == 0u);
        unsigned sum = 0;
        for (unsigned i = 0x10; i < 0x2e; ++i) sum += board.get(i);
        BOOST_TEST((board.get(0x2e) << 8 | board.get(0x2f)) == sum);
    }
}

BOOST_AUTO_TEST_CASE(the_ram_says_how_much_memory_is_above_4_gib_and_how_many_processors_there_are) {
    Board board(5 * 1024 * mib, 4);
    BOOST_TEST(board.get_word(0x34) == (3 * 1024 - 16) * 16u);
    BOOST_TEST(board.get_word(0x5b) == 2 * 1024 * 16u);
    BOOST_TEST(board.get(0x5d) == 0u);
    BOOST_TEST(board.get(0x5f) == 3u);
}

BOOST_AUTO_TEST_CASE(nothing_wakes_up_while_no_interrupt_is_enabled) {
    Board board;
    BOOST_TEST(board.surroundings.clock.listeners() == 0u);
    board.set(R::register_b, R::b_24_hours | R::b_periodic);
    BOOST_TEST(board.surroundings.clock.listeners() == 1u);
    board.pass(1ms);
    BOOST_TEST(board.irq.pin.level());
    BOOST_TEST(board.surroundings.clock.listeners() == 0u);  // until the guest has seen it
    board.get(R::register_c);
    BOOST_TEST(board.surroundings.clock.listeners() == 1u);
    board.set(R::register_b, R::b_24_hours);
    BOOST_TEST(board.surroundings.clock.listeners() == 0u);
}

BOOST_AUTO_TEST_CASE(each_periodic_interrupt_is_an_edge_of_irq_8) {
    Board board;
    board.set(R::register_a, 0x2f);  // 2 Hz
    board.set(R::register_b, R::b_24_hours | R::b_periodic);
    for (unsigned i = 1; i <= 5; ++i) {
        board.pass(500ms);
        BOOST_TEST(board.irq.rising == i);
        BOOST_TEST((board.get(R::register_c) & 0xc0) == 0xc0u);
        BOOST_TEST(board.irq.falling == i);
    }
    board.pass(2s);  // four periods, one interrupt: C has not been read
    BOOST_TEST(board.irq.rising == 6u);
}

BOOST_AUTO_TEST_CASE(no_interrupt_comes_while_the_machine_is_paused) {
    Board board;
    board.surroundings.gate->close();
    board.set(R::register_a, 0x2f);
    board.set(R::register_b, R::b_24_hours | R::b_periodic);
    board.pass(10s);
    BOOST_TEST(board.irq.rising == 0u);
    board.surroundings.gate->open();
    board.background.poll();
    BOOST_TEST(board.irq.rising == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
