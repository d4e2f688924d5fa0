// The shell that the devices share whose interrupts come with time, around an alarm that is made up.
#define BOOST_TEST_MODULE clocked_registers
#include <boost/test/unit_test.hpp>

#include "device_runner.hpp"
#include "devices/clocked_registers.hpp"
#include "surroundings.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <tuple>
#include <utility>

using namespace asyncvm;
using namespace std::chrono_literals;

namespace {

using Duration = std::chrono::nanoseconds;

/// Interrupts at each multiple of `period` that it hears of, until that is acknowledged. What a time is to it, Time says.
template <class Time>
struct Alarm {
    using Now = Time;

    static Duration of(const Duration& now) { return now; }
    template <class Aggregate>
    static Duration of(const Aggregate& now) {
        return now.day;
    }

    void follow(const Now& now) {
        const auto periods = period > 0ns ? of(now) / period : seen;
        if (periods != seen) pending = true;
        seen = periods;
    }
    void acknowledge(const Now& now) {
        follow(now);
        pending = false;
    }
    bool interrupt_pending(const Now& now) {
        follow(now);
        return pending;
    }
    std::optional<Duration> next_interrupt(const Now& now) {
        ++asked;
        if (interrupt_pending(now) || period == 0ns) return std::nullopt;
        return period - of(now) % period;
    }

    Duration period{};
    bool pending = false;
    std::int64_t seen = 0;
    unsigned asked = 0;  ///< when it is next
};

struct DayAndRunning {
    Duration day{};
    Duration running{};
};

template <class Time>
struct Bench {
    using Registers = Alarm<Time>;

    Bench() {
        clocked.attached(surroundings.context(), 5);
        background.start(clocked.run());
        background.poll();
    }

    void set_period(Duration period) {
        clocked.act([period](Registers& registers, const Time&) { registers.period = period; });
        background.poll();
    }
    void acknowledge() {
        clocked.act([](Registers& registers, const Time& now) { registers.acknowledge(now); });
        background.poll();
    }
    void pass(Duration time) {
        surroundings.clock.advance(time);
        background.poll();
    }
    /// The time jumps by `by` after `readings` more readings of the clock, and has when this returns.
    template <class Action>
    void held_up(unsigned readings, Duration by, Action action) {
        surroundings.clock.jump_after(readings, by);
        action();
        for (unsigned i = 0; i < readings; ++i) static_cast<void>(surroundings.clock.now());
    }

    asio::io_context loop{1};
    Surroundings surroundings{loop};
    ClockedRegisters<Registers> clocked;
    DeviceRunner background;
    const Surroundings::Pin& irq = surroundings.pins[5];
};

using Simple = Bench<Duration>;
using Daily = Bench<DayAndRunning>;
using Kinds = std::tuple<Simple, Daily>;

}  // namespace

BOOST_AUTO_TEST_SUITE(clocked_registers)

BOOST_AUTO_TEST_CASE(each_edge_comes_by_itself) {
    Simple bench;
    bench.set_period(1s);
    for (unsigned i = 1; i <= 3; ++i) {
        bench.pass(999ms);
        BOOST_TEST(bench.irq.rising == i - 1);
        bench.pass(1ms);
        BOOST_TEST(bench.irq.rising == i);
        bench.acknowledge();
        BOOST_TEST(bench.irq.falling == i);
    }
}

BOOST_AUTO_TEST_CASE(the_result_of_an_action_is_handed_on_and_its_time_is_that_since_power_on) {
    asio::io_context loop{1};
    Surroundings surroundings{loop};
    surroundings.clock.advance(1h);
    ClockedRegisters<Alarm<Duration>> clocked;
    const auto now = [](Alarm<Duration>&, Duration time) { return time; };
    BOOST_TEST((clocked.act(now) == 0s));
    clocked.attached(surroundings.context(), 5);
    surroundings.clock.advance(2s);
    BOOST_TEST((clocked.act(now) == 2s));
}

BOOST_AUTO_TEST_CASE(the_time_of_day_comes_with_the_time_since_power_on) {
    Daily bench;
    bench.surroundings.clock.set_time_of_day(std::chrono::system_clock::time_point(5h));
    bench.pass(2s);
    const auto now = bench.clocked.act([](Alarm<DayAndRunning>&, const DayAndRunning& time) { return time; });
    BOOST_TEST((now.day == 5h + 2s));
    BOOST_TEST((now.running == 2s));
}

// A thread may be held up between any two readings of the clock.
BOOST_AUTO_TEST_CASE_TEMPLATE(no_edge_is_lost_to_a_thread_that_is_held_up, Kind, Kinds) {
    for (unsigned readings = 1; readings <= 12; ++readings) {
        BOOST_TEST_CONTEXT("the clock moves after reading " << readings) {
            Kind bench;
            bench.set_period(1s);
            bench.pass(1s);
            bench.held_up(readings, 1s, [&bench] { bench.acknowledge(); });
            BOOST_TEST(bench.irq.falling == 1u);
            bench.pass(1s);
            BOOST_TEST(bench.irq.rising == 2u);
        }
    }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(an_edge_does_not_come_late_when_a_thread_was_held_up, Kind, Kinds) {
    for (unsigned readings = 1; readings <= 12; ++readings) {
        BOOST_TEST_CONTEXT("the clock moves after reading " << readings) {
            Kind bench;
            bench.held_up(readings, 400ms, [&bench] { bench.set_period(1s); });
            bench.pass(600ms);
            BOOST_TEST(bench.irq.rising == 1u);
        }
    }
}

BOOST_AUTO_TEST_CASE(the_sleeper_wakes_for_another_time_only) {
    Simple bench;
    const auto asked = [&bench] {
        return bench.clocked.act([](auto& registers, auto) { return std::exchange(registers.asked, 0U); });
    };
    bench.set_period(1s);
    BOOST_TEST(bench.surroundings.clock.listeners() == 1u);
    static_cast<void>(asked());
    bench.background.poll();
    for (unsigned i = 0; i < 10; ++i) bench.acknowledge();
    BOOST_TEST(asked() == 11u);  // once an action, and never by the sleeper
    bench.set_period(100ms);
    bench.pass(100ms);
    BOOST_TEST(bench.irq.rising == 1u);
    BOOST_TEST(bench.surroundings.clock.listeners() == 0u);  // until it is acknowledged
    bench.acknowledge();
    BOOST_TEST(bench.surroundings.clock.listeners() == 1u);
    bench.set_period(0s);
    BOOST_TEST(bench.surroundings.clock.listeners() == 0u);
}

BOOST_AUTO_TEST_CASE(no_edge_comes_through_a_closed_gate) {
    Simple bench;
    bench.surroundings.gate->close();
    bench.set_period(1s);
    bench.pass(10s);
    BOOST_TEST(bench.irq.rising == 0u);
    bench.surroundings.gate->open();
    bench.background.poll();
    BOOST_TEST(bench.irq.rising == 1u);
}

BOOST_AUTO_TEST_CASE(what_is_restored_goes_on_from_its_own_time) {
    Simple bench;
    bench.set_period(1s);
    bench.pass(1700ms);
    const auto saved = bench.clocked.saved();
    BOOST_TEST((saved.running == 1700ms));
    BOOST_TEST(saved.registers.pending);
    Simple other;
    other.pass(5h);
    other.clocked.restore(saved);
    BOOST_TEST(other.irq.rising == 1u);
    other.acknowledge();
    other.pass(299ms);
    BOOST_TEST(other.irq.rising == 1u);
    other.pass(1ms);
    BOOST_TEST(other.irq.rising == 2u);
}

BOOST_AUTO_TEST_CASE(what_is_saved_has_heard_of_all_that_has_happened) {
    Simple bench;
    bench.set_period(1s);
    bench.surroundings.clock.advance(1s);  // the sleeper has not run yet
    BOOST_TEST(bench.clocked.saved().registers.pending);
}

BOOST_AUTO_TEST_CASE(a_time_that_can_t_be_is_restored_as_one_that_can) {
    Simple bench;
    const auto now = [](Alarm<Duration>&, Duration time) { return time; };
    bench.clocked.restore({{}, -5s});
    BOOST_TEST((bench.clocked.act(now) == 0s));
    bench.clocked.restore({{}, Duration::max()});
    BOOST_TEST((bench.clocked.act(now) == 24h * 365 * 100));
}

BOOST_AUTO_TEST_SUITE_END()
