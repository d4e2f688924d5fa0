/// A UART on a bench: a chardev in memory, an interrupt controller that sees edges, a vCPU and a device loop that the test
/// turns by hand.
#pragma once

#include "devices/uart16550.hpp"
#include "fake_chardev.hpp"
#include "surroundings.hpp"

#include <asyncvm/asio.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

namespace asyncvm {

/// An access under way, or its outcome.
struct Pending {
    bool done = false;
    bool aborted = false;
    std::uint64_t value = 0;
    asio::cancellation_signal cancel;
};

inline awaitable<void> bench_write(Uart16550& uart, Access access) { co_await uart.write(access); }

inline awaitable<void> bench_write_string(Uart16550& uart, Access access, std::string text) {
    co_await uart.write_string(access, std::as_bytes(std::span(text)));
}

inline awaitable<void> bench_read(Uart16550& uart, Access access, std::shared_ptr<Pending> pending) {
    co_await uart.read(access);
    pending->value = access.data;
}

struct UartFixture {
    using R = Uart16550Registers;

    static constexpr unsigned irq = 4;

    explicit UartFixture(std::size_t capacity = 4096, bool connected = true)
        : UartFixture(std::make_shared<FakeChardev>(capacity, connected)) {}
    explicit UartFixture(std::shared_ptr<FakeChardev> other_end) : chardev(std::move(other_end)), uart(chardev, irq) {
        uart.attached(surroundings.context());
    }

    // The loops last but for the context's: coroutines that still wait are destroyed while the UART lives.
    asio::io_context unused{1};
    Surroundings surroundings{unused};
    ManualClock& clock = surroundings.clock;
    const IrqPin& pin = surroundings.pins[irq].pin;
    const unsigned& rising = surroundings.pins[irq].rising;
    const unsigned& falling = surroundings.pins[irq].falling;
    std::shared_ptr<FakeChardev> chardev;
    Uart16550 uart;
    std::shared_ptr<Pending> running = std::make_shared<Pending>();
    asio::io_context loop{1};
    asio::io_context cpu{1};
    asio::executor_work_guard<asio::io_context::executor_type> loop_guard{loop.get_executor()};
    asio::executor_work_guard<asio::io_context::executor_type> cpu_guard{cpu.get_executor()};

    static void spawn(asio::io_context& context, awaitable<void> coroutine, const std::shared_ptr<Pending>& pending) {
        asio::co_spawn(context, std::move(coroutine),
                       asio::bind_cancellation_slot(pending->cancel.slot(), [pending](std::exception_ptr failure) {
                           pending->done = true;
                           try {
                               if (failure) std::rethrow_exception(failure);
                           } catch (const std::system_error& error) {
                               pending->aborted = error.code() == asio::error::operation_aborted;
                           }
                       }));
    }

    void start() {
        spawn(loop, uart.run(), running);
        turn();
    }

    /// Whatever is ready on both loops, until nothing is.
    void turn() {
        while (loop.poll() + cpu.poll() > 0) {
        }
    }

    /// Time passes, and whatever it makes ready is done.
    void pass(MachineClock::duration time) {
        clock.advance(time);
        turn();
    }

    [[nodiscard]] static Access access(unsigned offset, unsigned value = 0) {
        Access made;
        made.address = 0x3f8 + offset;
        made.offset = offset;
        made.data = value;
        return made;
    }

    std::shared_ptr<Pending> begin_out(unsigned offset, unsigned value) {
        auto pending = std::make_shared<Pending>();
        spawn(cpu, bench_write(uart, access(offset, value)), pending);
        cpu.poll();
        return pending;
    }

    std::shared_ptr<Pending> begin_outs(unsigned offset, std::string text) {
        auto pending = std::make_shared<Pending>();
        spawn(cpu, bench_write_string(uart, access(offset), std::move(text)), pending);
        cpu.poll();
        return pending;
    }

    std::shared_ptr<Pending> begin_in(unsigned offset) {
        auto pending = std::make_shared<Pending>();
        spawn(cpu, bench_read(uart, access(offset), pending), pending);
        cpu.poll();
        return pending;
    }

    /// A write that does not wait: true. One that does stays under way.
    bool out(unsigned offset, unsigned value) { return begin_out(offset, value)->done; }

    /// A read that must not wait: its value, or 0x100.
    unsigned in(unsigned offset) {
        const auto pending = begin_in(offset);
        return pending->done ? static_cast<unsigned>(pending->value) : 0x100U;
    }

    std::string read_polled() {
        std::string all;
        while ((in(R::line_status)&R::lsr_data_ready) != 0) all += static_cast<char>(in(R::data));
        return all;
    }
};

}  // namespace asyncvm
