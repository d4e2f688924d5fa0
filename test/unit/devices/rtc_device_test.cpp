// The real-time clock as a device of a machine.
#define BOOST_TEST_MODULE rtc
#include <boost/test/unit_test.hpp>

#include "device_runner.hpp"
#include "devices/rtc_registers.hpp"
#include "surroundings.hpp"

#include <asyncvm/devices.hpp>

#include <chrono>
#include <cstdint>
#include <memory>

using namespace asyncvm;
using namespace std::chrono_literals;
using R = RtcRegisters;

namespace {

constexpr auto afternoon = std::chrono::sys_days(std::chrono::year(2026) / 11 / 28).time_since_epoch() + 21h + 59min + 58s;

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

// A thread may be held up between any two readings of the clock: no interrupt may be lost by it.
BOOST_AUTO_TEST_CASE(a_period_that_ends_while_the_device_works_is_an_edge_too) {
    for (unsigned readings = 1; readings <= 12; ++readings) {
        BOOST_TEST_CONTEXT("the clock moves after reading " << readings) {
            Board board;
            board.set(R::register_a, 0x2f);  // 2 Hz
            board.set(R::register_b, R::b_24_hours | R::b_periodic);
            board.pass(500ms);
            BOOST_TEST(board.irq.rising == 1u);
            board.surroundings.clock.jump_after(readings, 500ms);
            board.get(R::register_c);
            BOOST_TEST(board.irq.falling == 1u);
            for (unsigned i = 0; i < readings; ++i)
                static_cast<void>(board.surroundings.clock.now());  // it has moved by now
            board.pass(500ms);
            BOOST_TEST(board.irq.rising == 2u);
        }
    }
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
