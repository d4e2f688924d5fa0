// The end of a guest whose vCPUs have halted, where HLT is an exit and where it is not (interrupt controllers in the
// kernel).
#define BOOST_TEST_MODULE halt
#include <asyncvm/machine.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>

#include "interrupt_code.hpp"
#include "kvm_or_skip.hpp"
#include "machine_fixture.hpp"
#include "requires.hpp"

using namespace asyncvm;
using namespace asyncvm::test;
using namespace std::chrono_literals;

BOOST_TEST_GLOBAL_FIXTURE(KvmOrSkip);

GUEST_CODE(halt_with_interrupts_off, 16, "cli\n hlt\n jmp 0b")
GUEST_CODE(halt_with_interrupts_on, 16, "sti\n hlt\n jmp 0b")
// Six interrupts of the PIT, 50 ms apart; then no more of them. The handler counts in BL.
GUEST_CODE(halt_after_six_ticks, 16, R"(
    asyncvm_test_pics 0xfe
    asyncvm_test_vector 0x20, 10f
    asyncvm_test_timer 0xe90d
    xor %bx, %bx
1:  sti
    hlt
    cmp $6, %bl
    jb 1b
    cli
    mov %bl, %al
    out %al, $0x50
    hlt
10: inc %bl
    asyncvm_test_eoi
    iret
)")

namespace {

std::unique_ptr<Accelerator> with_irqchip(bool irqchip) {
    return make_kvm_accelerator({.irqchip = irqchip, .pit = irqchip});
}

/// Keeps what was written to it.
struct Recorder final : Device {
    std::string_view name() const noexcept override { return "recorder"; }
    awaitable<void> write(const Access& access) override {
        values.push_back(access.data);
        co_return;
    }
    awaitable<void> read(Access&) override { co_return; }
    std::vector<std::uint64_t> values;
};

}  // namespace

BOOST_DATA_TEST_CASE(a_guest_that_halts_with_interrupts_off_has_ended, boost::unit_test::data::make({false, true}),
                     irqchip) {
    asio::io_context loop;
    TestMachine test(loop, 1, with_irqchip(irqchip));
    test.load(halt_with_interrupts_off(), Mode::real16);
    const auto outcome = test.run();
    BOOST_TEST((outcome.kind == Outcome::Kind::halted));
    BOOST_TEST(outcome.summary == "the guest halted with interrupts off (vCPU 0)");
}

BOOST_DATA_TEST_CASE(one_that_nothing_can_interrupt_has_ended_too, boost::unit_test::data::make({false, true}), irqchip) {
    asio::io_context loop;
    TestMachine test(loop, 1, with_irqchip(irqchip));
    test.load(halt_with_interrupts_on(), Mode::real16);
    const auto outcome = test.run();
    BOOST_TEST((outcome.kind == Outcome::Kind::halted));
    BOOST_TEST(outcome.summary == "the guest halted with interrupts on (vCPU 0), which nothing can raise");
}

BOOST_AUTO_TEST_CASE(a_guest_that_waits_for_a_timer_goes_on, REQUIRES("irq-wake")) {
    asio::io_context loop;
    TestMachine test(loop, 1, with_irqchip(true));
    const auto recorder = std::make_shared<Recorder>();
    test.machine.ports().attach({.first = 0x50, .size = 1}, recorder);
    test.load(halt_after_six_ticks(), Mode::real16);
    const auto outcome = test.run();
    BOOST_TEST(outcome.summary == "the guest halted with interrupts off (vCPU 0)");
    BOOST_TEST_REQUIRE(recorder->values.size() == 1U);
    BOOST_TEST(recorder->values[0] >= 6U);  // a seventh may come before the guest has looked
}

BOOST_AUTO_TEST_CASE(a_vcpu_that_was_never_started_does_not_keep_the_machine) {
    asio::io_context loop;
    TestMachine test(loop, 2, with_irqchip(true));
    test.load(halt_with_interrupts_off(), Mode::real16);
    BOOST_TEST(test.run().summary == "the guest halted with interrupts off (vCPU 0)");
}

BOOST_DATA_TEST_CASE(a_machine_may_wait_when_its_guest_has_halted, boost::unit_test::data::make({false, true}), irqchip) {
    asio::io_context loop;
    TestMachine test(loop, 1, with_irqchip(irqchip), [](MachineConfig& config) { config.wait_when_halted = true; });
    test.load(halt_with_interrupts_off(), Mode::real16);
    test.start();
    // Much longer than it takes to notice that a guest has halted.
    loop.run_for(500ms);
    BOOST_TEST(!test.outcome);
    test.machine.stop();
    const auto outcome = [&] {
        loop.restart();
        loop.run_for(patience);
        return test.outcome;
    }();
    BOOST_REQUIRE(outcome.has_value());
    BOOST_TEST((outcome->kind == Outcome::Kind::stopped));
}
