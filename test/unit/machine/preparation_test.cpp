// A machine whose accelerator is made while it is being set up, by a function.
#define BOOST_TEST_MODULE preparation
#include "preparation_fixture.hpp"

#include <atomic>
#include <cstdint>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

Registers with_rax(std::uint64_t rax) {
    Registers registers;
    registers.rax = rax;
    return registers;
}

bool is_fake_failure(const Error& error) {
    return error.kind() == ErrorKind::host && error.what() == std::string("fake failure");
}

Outcome exited(int code) {
    Outcome outcome;
    outcome.kind = Outcome::Kind::exited;
    outcome.guest_code = code;
    return outcome;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(preparing)

BOOST_AUTO_TEST_CASE(it_is_made_on_another_thread_while_the_loop_runs) {
    Preparing test(3);
    test.prepare();
    test.fixture.start_run();
    test.fixture.poll();
    BOOST_TEST(!test.fixture.ended);
    test.gate.open();
    test.fixture.finish();
    BOOST_TEST((test.fixture.outcome.kind == Outcome::Kind::halted));
    BOOST_TEST(test.fixture.fakes.made == 1);
    BOOST_TEST(test.fixture.fakes.mapped == 1);
    BOOST_TEST(test.fixture.fakes.entered == 3);
}

BOOST_AUTO_TEST_CASE(it_is_made_when_it_is_needed_if_nobody_has_begun) {
    Fixture fixture;
    BOOST_TEST(fixture.fakes.made == 0);
    BOOST_TEST((fixture.run().kind == Outcome::Kind::halted));
    BOOST_TEST(fixture.fakes.mapped == 1);
    BOOST_TEST(fixture.fakes.entered == 1);
}

BOOST_AUTO_TEST_CASE(whoever_comes_first_makes_it_once) {
    for (int round = 0; round < 200; ++round) {
        Fixture fixture(nullptr, 2);
        fixture.machine->prepare();
        fixture.wait_until_prepared();
        BOOST_REQUIRE(fixture.fakes.made == 1);
        BOOST_REQUIRE(fixture.fakes.mapped == 1);
        BOOST_REQUIRE((fixture.run().kind == Outcome::Kind::halted));
        BOOST_REQUIRE(fixture.fakes.entered == 2);
    }
}

BOOST_AUTO_TEST_CASE(the_guest_may_be_loaded_meanwhile) {
    Preparing test;
    test.prepare();
    BOOST_TEST(!test.fixture.machine->memory().boot_tables().empty());
    test.gate.open();
    BOOST_TEST((test.fixture.run().kind == Outcome::Kind::halted));
    BOOST_TEST(test.fixture.fakes.mapped_regions == 2u);
}

BOOST_AUTO_TEST_CASE(to_prepare_again_has_no_effect) {
    Preparing test;
    test.prepare();
    test.fixture.machine->prepare();
    test.gate.open();
    test.fixture.wait_until_prepared();
    test.fixture.machine->prepare();
    test.fixture.wait_until_prepared();
    BOOST_TEST((test.fixture.run().kind == Outcome::Kind::halted));
    test.fixture.machine->prepare();
    BOOST_TEST(test.fixture.fakes.made == 1);
}

BOOST_AUTO_TEST_CASE(to_prepare_a_machine_that_was_given_an_accelerator_has_no_effect) {
    Fixture fixture;
    fixture.machine.emplace(Fixture::config(1), std::make_unique<FakeAccelerator>(fixture.fakes), fixture.loop);
    fixture.machine->prepare();
    fixture.wait_until_prepared();
    BOOST_TEST((fixture.run().kind == Outcome::Kind::halted));
    BOOST_TEST(fixture.fakes.made == 1);
    BOOST_TEST(fixture.fakes.mapped == 1);
}

BOOST_AUTO_TEST_CASE(who_counts_posted_writes_on_another_thread_may_do_so_meanwhile) {
    Fixture fixture;
    std::promise<void> counting;
    std::atomic<bool> done = false;
    std::uint64_t count = 0;
    std::thread reader([&] {
        counting.set_value();
        do count += fixture.machine->posted_writes();
        while (!done);
    });
    counting.get_future().wait();
    fixture.machine->prepare();
    fixture.wait_until_prepared();
    done = true;
    reader.join();
    BOOST_TEST(count == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(failing)

BOOST_AUTO_TEST_CASE(what_goes_wrong_is_thrown_each_time) {
    using Failing = Fakes::Failing;
    for (const Failing failing : {Failing::maker, Failing::create_cpu, Failing::set_registers, Failing::map}) {
        for (const bool on_a_thread : {true, false}) {
            BOOST_TEST_CONTEXT("step " << static_cast<int>(failing) << ", on a thread: " << on_a_thread) {
                Gate gate;
                Fixture fixture(on_a_thread ? &gate : nullptr, 2);
                fixture.fakes.failing = failing;
                fixture.machine->set_registers(1, with_rax(1));
                if (on_a_thread) {
                    fixture.machine->prepare();
                    gate.wait_until_reached();
                    gate.open();
                }
                BOOST_CHECK_EXCEPTION(fixture.wait_until_prepared(), Error, is_fake_failure);
                BOOST_CHECK_EXCEPTION(static_cast<void>(fixture.run()), Error, is_fake_failure);
                BOOST_CHECK_EXCEPTION(static_cast<void>(fixture.machine->registers(0)), Error, is_fake_failure);
                BOOST_CHECK_NO_THROW(fixture.machine->set_registers(0, {}));
                BOOST_CHECK_EXCEPTION(fixture.wait_until_prepared(), Error, is_fake_failure);
                fixture.machine.reset();
                BOOST_TEST(fixture.fakes.alive == 0);
                BOOST_TEST(fixture.fakes.entered == 0);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(the_run_throws_it_also_when_it_was_there_first) {
    Preparing test;
    test.fixture.fakes.failing = Fakes::Failing::maker;
    test.prepare();
    test.fixture.start_run();
    test.fixture.poll();
    test.gate.open();
    BOOST_CHECK_EXCEPTION(test.fixture.finish(), Error, is_fake_failure);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(ending)

BOOST_AUTO_TEST_CASE(a_stop_before_it_is_made_lets_no_vcpu_enter) {
    for (const bool prepare : {true, false}) {
        Fixture fixture(nullptr, 2);
        fixture.machine->stop();
        if (prepare) fixture.machine->prepare();
        BOOST_TEST((fixture.run().kind == Outcome::Kind::stopped));
        BOOST_TEST(fixture.fakes.entered == 0);
    }
}

BOOST_AUTO_TEST_CASE(an_outcome_before_it_is_made_stays) {
    Fixture fixture(nullptr, 2);
    fixture.machine->finish(exited(7));
    fixture.machine->prepare();
    fixture.machine->stop();
    const Outcome outcome = fixture.run();
    BOOST_TEST((outcome.kind == Outcome::Kind::exited));
    BOOST_TEST(outcome.guest_code == 7);
    BOOST_TEST(fixture.fakes.entered == 0);
}

BOOST_AUTO_TEST_CASE(a_stop_while_it_is_made_lets_no_vcpu_enter) {
    for (const bool running : {true, false}) {
        Preparing test(2);
        test.prepare();
        if (running) test.fixture.start_run();
        test.fixture.poll();
        // From another thread, as signals of an embedder may come.
        std::thread([&] { test.fixture.machine->stop(); }).join();
        if (!running) test.fixture.start_run();
        test.fixture.poll();
        test.gate.open();
        test.fixture.finish();
        BOOST_TEST((test.fixture.outcome.kind == Outcome::Kind::stopped));
        BOOST_TEST(test.fixture.fakes.entered == 0);
    }
}

BOOST_AUTO_TEST_CASE(an_outcome_while_it_is_made_stays) {
    Preparing test;
    test.prepare();
    test.fixture.start_run();
    test.fixture.poll();
    test.fixture.machine->finish(exited(7));
    test.gate.open();
    test.fixture.finish();
    BOOST_TEST((test.fixture.outcome.kind == Outcome::Kind::exited));
    BOOST_TEST(test.fixture.fakes.entered == 0);
}

BOOST_AUTO_TEST_CASE(a_cancelled_wait_stops_the_machine) {
    Preparing test;
    test.prepare();
    test.fixture.start_prepared();
    test.fixture.poll();
    test.fixture.cancel.emit(asio::cancellation_type::terminal);
    test.fixture.poll();
    BOOST_TEST(!test.fixture.ended);
    test.gate.open();
    test.fixture.finish();
    BOOST_TEST((test.fixture.run().kind == Outcome::Kind::stopped));
    BOOST_TEST(test.fixture.fakes.entered == 0);
}

BOOST_AUTO_TEST_CASE(a_cancelled_run_is_stopped) {
    Preparing test;
    test.prepare();
    test.fixture.start_run();
    test.fixture.poll();
    test.fixture.cancel.emit(asio::cancellation_type::terminal);
    test.fixture.poll();
    test.gate.open();
    test.fixture.finish();
    BOOST_TEST((test.fixture.outcome.kind == Outcome::Kind::stopped));
    BOOST_TEST(test.fixture.fakes.entered == 0);
}

BOOST_AUTO_TEST_CASE(a_machine_that_goes_while_it_is_made_waits_for_that) {
    Preparing test;
    test.prepare();
    std::thread destroyer([&] { test.fixture.machine.reset(); });
    test.gate.open();
    destroyer.join();
    BOOST_TEST(test.fixture.fakes.made == 1);
    BOOST_TEST(test.fixture.fakes.alive == 0);
}

BOOST_AUTO_TEST_CASE(a_machine_that_goes_at_once_leaves_nothing) {
    for (int round = 0; round < 200; ++round) {
        Fixture fixture;
        fixture.machine->prepare();
        fixture.machine.reset();
        BOOST_REQUIRE(fixture.fakes.alive == 0);
    }
}

BOOST_AUTO_TEST_CASE(a_loop_that_goes_while_it_is_made_leaves_nothing) {
    Gate gate;
    Fakes fakes;
    auto loop = std::make_unique<asio::io_context>(1);
    std::optional<Machine> machine(std::in_place, Fixture::config(1), fake_maker(fakes, &gate), *loop);
    machine->prepare();
    gate.wait_until_reached();
    asio::co_spawn(*loop, machine->prepared(), [](std::exception_ptr) {});
    loop->poll();
    gate.open();
    machine.reset();
    loop.reset();
    BOOST_TEST(fakes.alive == 0);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(registers)

BOOST_AUTO_TEST_CASE(set_before_it_is_made) {
    Fixture fixture;
    fixture.machine->set_registers(0, with_rax(1));
    fixture.machine->set_registers(0, with_rax(2));
    BOOST_TEST(fixture.fakes.made == 0);
    fixture.machine->prepare();
    BOOST_TEST((fixture.run().kind == Outcome::Kind::halted));
    BOOST_TEST(fixture.fakes.rax_at_entry == 2u);
}

BOOST_AUTO_TEST_CASE(set_while_it_is_made) {
    Preparing test;
    test.fixture.machine->set_registers(0, with_rax(1));
    test.prepare();
    test.fixture.machine->set_registers(0, with_rax(2));  // nobody waits
    BOOST_TEST(test.fixture.fakes.made == 0);
    test.gate.open();
    BOOST_TEST((test.fixture.run().kind == Outcome::Kind::halted));
    BOOST_TEST(test.fixture.fakes.rax_at_entry == 2u);
}

BOOST_AUTO_TEST_CASE(set_when_it_is_made) {
    Fixture fixture;
    fixture.machine->set_registers(0, with_rax(1));
    fixture.wait_until_prepared();
    fixture.machine->set_registers(0, with_rax(2));
    BOOST_TEST((fixture.run().kind == Outcome::Kind::halted));
    BOOST_TEST(fixture.fakes.rax_at_entry == 2u);
}

BOOST_AUTO_TEST_CASE(asked_for_before_it_is_made) {
    Fixture fixture;
    fixture.machine->set_registers(0, with_rax(1));
    BOOST_TEST(fixture.machine->registers(0).rax == 1u);
    BOOST_TEST(fixture.fakes.made == 1);
    fixture.machine->set_registers(0, with_rax(2));
    BOOST_TEST((fixture.run().kind == Outcome::Kind::halted));
    BOOST_TEST(fixture.fakes.rax_at_entry == 2u);
    BOOST_TEST(fixture.fakes.mapped == 1);
}

BOOST_AUTO_TEST_CASE(of_a_vcpu_that_is_not_there) {
    Fixture fixture(nullptr, 2);
    BOOST_CHECK_THROW(fixture.machine->set_registers(2, {}), std::out_of_range);
    fixture.machine->prepare();
    BOOST_CHECK_THROW(fixture.machine->set_registers(2, {}), std::out_of_range);
    BOOST_CHECK_THROW(static_cast<void>(fixture.machine->registers(2)), std::out_of_range);
}

BOOST_AUTO_TEST_SUITE_END()
