// The registers of the real-time clock.
#define BOOST_TEST_MODULE rtc_registers
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
