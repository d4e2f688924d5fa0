// A vCPU that does not leave the accelerator holds nothing up for longer than MachineConfig::stop_limit.
#define BOOST_TEST_MODULE stuck_vcpu
#include <asyncvm/machine.hpp>

#include <boost/test/unit_test.hpp>

#include <latch>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fake_accelerator.hpp"

using namespace asyncvm;
using namespace asyncvm::test;
using namespace std::chrono_literals;

namespace {

/// What a thread that was left behind still uses: it lives as long as the process.
struct Prison {
    Fakes fakes;
    std::latch entered{1};
    std::latch opened{1};
    std::latch left{1};
};

/// Ignores kicks.
class StuckCpu : public FakeCpu {
public:
    explicit StuckCpu(Prison& prison) : FakeCpu(prison.fakes), prison_(prison) {}
    Exit run() override {
        prison_.entered.count_down();
        prison_.opened.wait();
        return Interrupted{};
    }
    void complete_exit() override { prison_.left.count_down(); }

private:
    Prison& prison_;
};

class StuckAccelerator : public FakeAccelerator {
public:
    explicit StuckAccelerator(Prison& prison) : FakeAccelerator(prison.fakes), prison_(prison) {}
    std::unique_ptr<Cpu> create_cpu(unsigned) override { return std::make_unique<StuckCpu>(prison_); }

private:
    Prison& prison_;
};

struct Fixture {
    Prison& prison = *new Prison;  // never destroyed
    asio::io_context loop{1};
    std::vector<std::string> log;
    std::optional<Machine> machine;
    std::optional<Outcome> outcome;

    Fixture() {
        MachineConfig config;
        config.memory_size = GuestMemory::page_size;
        config.cancellation_patience = 10ms;
        config.stop_limit = 20ms;
        config.log = [this](std::string_view line) { log.emplace_back(line); };
        machine.emplace(std::move(config), std::make_unique<StuckAccelerator>(prison), loop);
        asio::co_spawn(loop, machine->run(), [this](std::exception_ptr, Outcome with) { outcome = std::move(with); });
        loop.poll();
        prison.entered.wait();
    }
    ~Fixture() {
        prison.opened.count_down();
        prison.left.wait();
    }

    [[nodiscard]] static bool has(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_run_that_is_stopped_ends_and_says_which_vcpu_is_where, Fixture) {
    machine->stop();
    loop.restart();
    loop.run_for(60s);
    BOOST_REQUIRE(outcome);
    BOOST_CHECK(outcome->kind == Outcome::Kind::failed);
    BOOST_TEST(has(outcome->summary, "does not leave accelerator fake"));
    BOOST_REQUIRE(log.size() == 2u);
    BOOST_TEST(has(log[0], "vCPU 0 was told to stop 10 ms ago and is still in the guest, in accelerator fake"));
    BOOST_TEST(has(log[1], "vCPU 0 is left behind in the guest, in accelerator fake"));
}

BOOST_FIXTURE_TEST_CASE(the_destruction_of_the_machine_ends, Fixture) {
    machine.reset();
    BOOST_REQUIRE(log.size() == 1u);
    BOOST_TEST(has(log[0], "vCPU 0 is left behind"));
    // The coroutine of run() still finds all that it uses.
    loop.restart();
    loop.run_for(60s);
    BOOST_REQUIRE(outcome);
    BOOST_CHECK(outcome->kind == Outcome::Kind::failed);
}

BOOST_FIXTURE_TEST_CASE(a_pause_throws, Fixture) {
    std::exception_ptr failure;
    asio::co_spawn(loop, machine->pause(), [&](std::exception_ptr e, const Pause&) { failure = std::move(e); });
    const auto until = std::chrono::steady_clock::now() + 60s;
    for (loop.restart(); !failure && std::chrono::steady_clock::now() < until;) loop.run_one_for(10ms);
    BOOST_REQUIRE(failure);
    BOOST_CHECK_THROW(std::rethrow_exception(failure), Error);
    machine.reset();
}
