/// A machine whose accelerator is a fake, and a device loop that runs only when the test wants it to.
#pragma once

#include <asyncvm/machine.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include "fake_accelerator.hpp"

namespace asyncvm::test {

using namespace std::chrono_literals;

/// Runs coroutines on the machine's device loop, one at a time.
struct Fixture {
    static constexpr auto safety = 60s;  ///< a safety net, never what a test waits for

    explicit Fixture(Gate* gate = nullptr, unsigned cpus = 1) {
        machine.emplace(config(cpus), fake_maker(fakes, gate), loop);
    }
    ~Fixture() { machine.reset(); }
    Fixture(const Fixture&) = delete;
    Fixture& operator=(const Fixture&) = delete;

    static MachineConfig config(unsigned cpus) {
        MachineConfig made;
        made.memory_size = GuestMemory::page_size;
        made.cpus = cpus;
        return made;
    }

    void start_run() {
        asio::co_spawn(loop, machine->run(),
                       asio::bind_cancellation_slot(cancel.slot(), [this](std::exception_ptr e, Outcome o) {
                           failure = std::move(e);
                           outcome = std::move(o);
                           ended = true;
                       }));
    }
    void start_prepared() {
        asio::co_spawn(loop, machine->prepared(), asio::bind_cancellation_slot(cancel.slot(), [this](std::exception_ptr e) {
                           failure = std::move(e);
                           ended = true;
                       }));
    }
    /// What is under way gets as far as it can without waiting.
    void poll() {
        loop.restart();
        loop.poll();
    }
    /// To the end of what was started; throws what that threw.
    void finish() {
        loop.restart();
        loop.run_for(safety);
        BOOST_REQUIRE(ended);
        ended = false;
        if (failure) std::rethrow_exception(std::exchange(failure, nullptr));
    }
    Outcome run() {
        start_run();
        finish();
        return outcome;
    }
    void wait_until_prepared() {
        start_prepared();
        finish();
    }

    asio::io_context loop{1};
    Fakes fakes;
    std::optional<Machine> machine;
    asio::cancellation_signal cancel;
    std::exception_ptr failure;
    Outcome outcome;
    bool ended = false;
};

/// A machine that is being made.
struct Preparing {
    explicit Preparing(unsigned cpus = 1) : fixture(&gate, cpus) {}
    void prepare() {
        fixture.machine->prepare();
        gate.wait_until_reached();
    }
    Gate gate;
    Fixture fixture;
};

}  // namespace asyncvm::test
