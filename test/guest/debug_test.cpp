// What a debugger needs of a machine: stops that it decides about, vCPUs that rest, steps and breakpoints.
#define BOOST_TEST_MODULE debug
#include <asyncvm/event.hpp>

#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <variant>
#include <vector>

#include "machine_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

namespace {

/// Notes each exit that it is asked about, and gives the next of the answers.
struct Asked {
    std::mutex mutex;
    std::vector<Exit> exits;
    std::vector<std::uint64_t> places;
    StopAction answer = StopAction::go_on;
    std::size_t steps = 5;  ///< then the vCPU goes on without: on some hosts a step goes over HLT
    Event changed;

    StopAction operator()(const Exit& exit, Cpu& from) {
        const std::lock_guard lock(mutex);
        exits.push_back(exit);
        if (const auto* const debug = std::get_if<Debug>(&exit)) places.push_back(debug->rip);
        changed.notify();
        if (exits.size() >= steps) static_cast<void>(from.set_debug({}));
        return answer;
    }
    std::size_t count() {
        const std::lock_guard lock(mutex);
        return exits.size();
    }
};

struct Debugged {
    asio::io_context loop{1};
    Asked asked;
    std::function<void(MachineConfig&)> adapt = [this](MachineConfig& config) {
        config.on_stop = [this](unsigned, const Exit& exit, Cpu& from) { return asked(exit, from); };
    };
    TestMachine test{loop, 1, make_accelerator_under_test(), adapt};

    void set_debug(const GuestDebug& debug) {
        bool possible = false;
        std::function<void(Cpu&)> work = [&](Cpu& cpu) { possible = cpu.set_debug(debug); };
        asio::co_spawn(loop, test.machine.call(0, std::move(work)), [](const std::exception_ptr&) {});
        loop.run();
        loop.restart();
        BOOST_REQUIRE(possible);
    }
};

/// Until `asked` has been asked `times` times.
awaitable<void> until_asked(Asked& asked, std::size_t times) {
    for (;;) {
        const auto seen = asked.changed.generation();
        if (asked.count() >= times) co_return;
        co_await asked.changed.wait(seen);
    }
}

awaitable<void> let_go_twice(Debugged& debugged) {
    co_await until_asked(debugged.asked, 1);
    const Pause first = co_await debugged.test.machine.pause();
    // Another pause does not let the vCPU go.
    { const Pause second = co_await debugged.test.machine.pause(); }
    BOOST_TEST(debugged.asked.count() == 1u);
    debugged.test.machine.release(0);
    debugged.asked.answer = StopAction::go_on;
}

awaitable<void> stop_when_asked(Debugged& debugged) {
    co_await until_asked(debugged.asked, 1);
    debugged.test.machine.stop();
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(steps_that_go_on_one_after_the_other, Debugged) {
    test.load({0x90, 0x90, 0xb0, 0x01, 0xe6, 0x80, 0x90, 0xf4});
    set_debug({.single_step = true});
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    const std::vector<std::uint64_t> expected{0x10001, 0x10002, 0x10004, 0x10006, 0x10007};
    BOOST_TEST(asked.places == expected, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(a_vcpu_that_is_held_rests_until_it_is_released, Debugged) {
    test.load({0x90, 0x90, 0xf4});
    set_debug({.single_step = true});
    asked.steps = 1;
    asked.answer = StopAction::hold;
    asio::co_spawn(loop, let_go_twice(*this), [](const std::exception_ptr& e) { BOOST_TEST(!e); });
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
}

BOOST_FIXTURE_TEST_CASE(a_vcpu_that_is_held_can_be_stopped, Debugged) {
    test.load({0x90, 0x90, 0xf4});
    set_debug({.single_step = true});
    asked.answer = StopAction::hold;
    asio::co_spawn(loop, stop_when_asked(*this), [](const std::exception_ptr& e) { BOOST_TEST(!e); });
    BOOST_TEST((test.run().kind == Outcome::Kind::stopped));
}

BOOST_FIXTURE_TEST_CASE(a_debug_exit_ends_the_run_if_that_is_the_answer, Debugged) {
    test.load({0x90, 0x90, 0xf4});
    set_debug({.single_step = true});
    asked.answer = StopAction::end;
    BOOST_TEST((test.run().kind == Outcome::Kind::failed));
    BOOST_TEST(asked.count() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_crash_is_asked_about_and_keeps_its_outcome, Debugged) {
    // lidt [0x1000a]; ud2
    test.load({0x0f, 0x01, 0x1d, 0x0a, 0x00, 0x01, 0x00, 0x0f, 0x0b, 0xf4, 0, 0, 0, 0, 0, 0}, Mode::protected32);
    asked.answer = StopAction::hold;
    asio::co_spawn(loop, let_go_twice(*this), [](const std::exception_ptr& e) { BOOST_TEST(!e); });
    BOOST_TEST((test.run().kind == Outcome::Kind::triple_fault));
    BOOST_TEST(asked.count() == 1u);
    BOOST_TEST((std::holds_alternative<ShutDown>(asked.exits.at(0))));
}

BOOST_FIXTURE_TEST_CASE(halt_is_no_stop, Debugged) {
    test.load({0xf4});
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    BOOST_TEST(asked.count() == 0u);
}
