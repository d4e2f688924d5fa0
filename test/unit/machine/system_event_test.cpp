// What a guest asks its platform for through the accelerator (KVM_EXIT_SYSTEM_EVENT), and how its run ends.
#define BOOST_TEST_MODULE system_event
#include <asyncvm/machine.hpp>

#include <boost/test/unit_test.hpp>

#include <memory>
#include <optional>
#include <utility>

#include "fake_accelerator.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

class AskingCpu : public FakeCpu {
public:
    AskingCpu(Fakes& fakes, SystemEvent::Kind kind) : FakeCpu(fakes), kind_(kind) {}
    Exit run() override { return SystemEvent{.kind = kind_, .type = 0}; }

private:
    const SystemEvent::Kind kind_;
};

class AskingAccelerator : public FakeAccelerator {
public:
    AskingAccelerator(Fakes& fakes, SystemEvent::Kind kind) : FakeAccelerator(fakes), fakes_(fakes), kind_(kind) {}
    std::unique_ptr<Cpu> create_cpu(unsigned) override { return std::make_unique<AskingCpu>(fakes_, kind_); }

private:
    Fakes& fakes_;
    const SystemEvent::Kind kind_;
};

Outcome outcome_of(SystemEvent::Kind kind) {
    Fakes fakes;
    asio::io_context loop{1};
    MachineConfig config;
    config.memory_size = GuestMemory::page_size;
    Machine machine(std::move(config), std::make_unique<AskingAccelerator>(fakes, kind), loop);
    std::optional<Outcome> outcome;
    asio::co_spawn(loop, machine.run(), [&outcome](const std::exception_ptr&, Outcome with) { outcome = std::move(with); });
    loop.run_for(std::chrono::seconds(60));
    BOOST_REQUIRE(outcome);
    return *outcome;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_guest_that_asks_to_be_powered_off_has_ended_well) {
    const auto outcome = outcome_of(SystemEvent::Kind::shutdown);
    BOOST_TEST((outcome.kind == Outcome::Kind::powered_off));
    BOOST_TEST(outcome.report.empty());
}

BOOST_AUTO_TEST_CASE(a_guest_that_asks_for_a_reset_has_not_crashed) {
    const auto outcome = outcome_of(SystemEvent::Kind::reset);
    BOOST_TEST((outcome.kind == Outcome::Kind::reset));
    BOOST_TEST(outcome.summary.starts_with("the guest asked for a reset"));
    BOOST_TEST(outcome.report.empty());
}

BOOST_AUTO_TEST_CASE(a_guest_that_reports_its_crash_has_a_report) {
    const auto outcome = outcome_of(SystemEvent::Kind::crash);
    BOOST_TEST((outcome.kind == Outcome::Kind::crashed));
    BOOST_TEST(outcome.summary.starts_with("the guest reported a crash"));
    BOOST_TEST(!outcome.report.empty());
}
