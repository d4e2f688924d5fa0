/// A machine with a guest of a few bytes, on KVM or on what ASYNCVM_TEST_ACCEL names.
#pragma once

#include <asyncvm/loader.hpp>
#include <asyncvm/machine.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "accelerator_under_test.hpp"

namespace asyncvm::test {

/// The time after which a test gives up; nothing waits for it when all is well.
inline constexpr std::chrono::seconds patience{60};

struct TestMachine {
    /// `adapt` changes the machine's configuration before it is made.
    explicit TestMachine(asio::io_context& on, unsigned cpus = 1,
                         std::unique_ptr<Accelerator> accelerator = make_accelerator_under_test(),
                         const std::function<void(MachineConfig&)>& adapt = {})
        : loop(on), machine(config(cpus, adapt), std::move(accelerator), on) {}

    /// One whose accelerator is made by prepare(), or when it is needed.
    TestMachine(asio::io_context& on, unsigned cpus, AcceleratorMaker make)
        : loop(on), machine(config(cpus, {}), std::move(make), on) {}

    /// Machine code, loaded at 0x10000 and entered there by all vCPUs.
    void load(std::initializer_list<std::uint8_t> code, Mode mode = Mode::real16) {
        std::vector<std::byte> bytes;
        for (const std::uint8_t byte : code) bytes.push_back(std::byte{byte});
        load(std::span<const std::byte>(bytes), mode);
    }
    void load(std::span<const std::byte> bytes, Mode mode) {
        FlatGuest guest;
        guest.path = "test guest";
        guest.bytes = bytes;
        guest.mode = mode;
        registers = load_flat(machine.memory(), guest).registers;
        for (unsigned cpu = 0; cpu < machine.cpus(); ++cpu) machine.set_registers(cpu, registers);
    }

    /// The outcome arrives in `outcome` when the loop has run.
    void start() {
        asio::co_spawn(loop, machine.run(),
                       asio::bind_cancellation_slot(cancel.slot(), [this](std::exception_ptr e, Outcome with) {
                           failure = std::move(e);
                           outcome = std::move(with);
                       }));
    }

    Outcome run(std::chrono::seconds limit = patience) {
        start();
        loop.restart();
        loop.run_for(limit);
        if (failure) std::rethrow_exception(failure);
        BOOST_REQUIRE_MESSAGE(outcome, "the machine did not end");
        return *outcome;
    }

    asio::io_context& loop;
    Machine machine;
    Registers registers;
    asio::cancellation_signal cancel;
    std::exception_ptr failure;
    std::optional<Outcome> outcome;
    std::vector<std::string> told;

private:
    MachineConfig config(unsigned cpus, const std::function<void(MachineConfig&)>& adapt) {
        MachineConfig made;
        made.memory_size = 1 << 20;
        made.cpus = cpus;
        made.posted_burst_pause = std::chrono::hours(1);  // a burst is one on a busy machine, too
        made.cancellation_patience = patience;
        made.log = [this](std::string_view line) { told.emplace_back(line); };
        if (adapt) adapt(made);
        return made;
    }
};

}  // namespace asyncvm::test
