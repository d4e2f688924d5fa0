// An exit that its device answers at once costs no allocation, no lock, no system call but KVM_RUN, and no look at the
// clock.
#define BOOST_TEST_MODULE answered_at_once
#include <asyncvm/devices.hpp>
#include <asyncvm/machine.hpp>

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "../unit/devices/fake_chardev.hpp"
#include "kvm_or_skip.hpp"
#include "machine_fixture.hpp"
#include "watch.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(KvmOrSkip);

namespace {

constexpr unsigned exits_a_round = 6;

/// What to do on the vCPU's thread, from the guest's writes to the Watcher.
struct Plan {
    std::uint32_t first;  ///< the rounds are counted from 1
    std::uint32_t last;
    std::function<void()> begin{};  ///< in round `first`
    std::function<void()> each{};   ///< in each, also before `first`
    std::function<void()> end{};    ///< in round `last`, after `each`
    bool statistics = false;
    bool posted_writes = false;  ///< with them the POST port is one that posts nothing
};

class Watcher : public Device {
public:
    explicit Watcher(const Plan& plan) : plan_(plan) {}
    std::string_view name() const noexcept override { return "watcher"; }
    awaitable<void> write(const Access&) override {
        const auto round = ++round_;
        if (round == plan_.first) plan_.begin();
        if (plan_.each) plan_.each();
        if (round == plan_.last) plan_.end();
        co_return;
    }
    awaitable<void> read(Access& access) override {
        access.data = round_;
        co_return;
    }

private:
    const Plan& plan_;
    std::uint32_t round_ = 0;
};

/// Remembers what was written.
class Register : public Device {
public:
    std::string_view name() const noexcept override { return "register"; }
    awaitable<void> write(const Access& access) override {
        value_ = access.data;
        co_return;
    }
    awaitable<void> read(Access& access) override {
        access.data = value_;
        co_return;
    }

private:
    std::uint64_t value_ = 0;
};

/// A guest with six exits a round.
void run_rounds(const Plan& plan) {
    asio::io_context loop{1};
    TestMachine test(loop, 1, make_accelerator_under_test(), [&plan](MachineConfig& config) {
        config.statistics = plan.statistics;
        config.posted_burst_pause = plan.posted_writes ? std::chrono::hours(1) : std::chrono::hours(0);
    });
    test.machine.ports().attach({0x10, 1, true}, make_counter(std::make_shared<FakeChardev>()));
    if (plan.posted_writes) {
        test.machine.ports().attach({0x80, 1, true}, std::make_shared<Register>());
    } else {
        test.machine.ports().attach({0x80, 1, true}, make_post_port());
    }
    test.machine.ports().attach({0x60, 1}, std::make_shared<Watcher>(plan));
    test.machine.mmio().attach({0xd000'0000, 8}, std::make_shared<Register>());
    // again: in $0x10, %al; out %al, $0x80; mov %eax, 0xd0000000; mov 0xd0000000, %eax; in $0x60, %al; out %al, $0x60
    //        dec %ecx; jnz again; hlt
    test.load({0xe4, 0x10, 0xe6, 0x80, 0xa3, 0x00, 0x00, 0x00, 0xd0, 0xa1, 0x00,
               0x00, 0x00, 0xd0, 0xe4, 0x60, 0xe6, 0x60, 0x49, 0x75, 0xeb, 0xf4},
              Mode::protected32);
    test.registers.rcx = plan.last;
    test.machine.set_registers(0, test.registers);
    const auto outcome = test.run(10 * patience);  // an exit may take 100 µs on an emulated host that has much else to do
    BOOST_REQUIRE_MESSAGE(outcome.kind == Outcome::Kind::halted, outcome.summary << outcome.report);
}

struct Rounds {
    Watched watched;
    std::string why_blind;  ///< not empty: system calls and the clock were not watched
};

/// What the rounds of a plan cost.
Rounds watch_rounds(Plan plan) {
    Rounds rounds;
    plan.begin = [&rounds] { rounds.why_blind = begin_watch(); };
    plan.end = [&rounds] { rounds.watched = end_watch(); };
    run_rounds(plan);
    return rounds;
}

/// Says so where a host does not show system calls; the case is then counted as skipped.
bool shows_system_calls(const Rounds& rounds) {
    if (rounds.why_blind.empty()) return true;
    std::printf("SKIP: %s\n", rounds.why_blind.c_str());
    std::fflush(stdout);
    return false;
}

/// Of the rounds from `first` to `last`. The fewest of some runs: KVM_RUN that ends early, because the process was stopped
/// or the host's kernel had something to do for it, adds a few instructions, and nothing takes one away.
Steps fewest_steps(std::uint32_t first, std::uint32_t last, const std::function<void()>& each = {}) {
    Steps fewest{.instructions = ~std::uint64_t{0}, .locked = ~std::uint64_t{0}};
    for (int run = 0; run < 3; ++run) {
        Steps steps;
        run_rounds(
            {.first = first, .last = last, .begin = begin_steps, .each = each, .end = [&steps] { steps = end_steps(); }});
        fewest.instructions = std::min(fewest.instructions, steps.instructions);
        fewest.locked = std::min(fewest.locked, steps.locked);
    }
    return fewest;
}

constexpr std::uint32_t warm = 100;  // rounds before the watch begins

const Rounds& hundred_thousand_exits() {
    static const Rounds rounds = watch_rounds({.first = warm, .last = warm + 100'000 / exits_a_round + 1});
    return rounds;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_hundred_thousand_exits)

BOOST_AUTO_TEST_CASE(allocate_nothing_and_take_no_lock) {
    const auto& watched = hundred_thousand_exits().watched;
    BOOST_TEST(watched.allocations == 0U);
    BOOST_TEST(watched.releases == 0U);
    BOOST_TEST(watched.locks == 0U);
}

BOOST_AUTO_TEST_CASE(make_no_system_call_but_kvm_run_and_read_no_clock) {
    const auto& rounds = hundred_thousand_exits();
    if (!shows_system_calls(rounds)) return;
    BOOST_TEST(rounds.watched.system_calls == 0U,
               rounds.watched.system_calls << " system calls:" << rounds.watched.first_system_calls);
    BOOST_TEST(!rounds.watched.clock_read);
}

// Whether there is a burst costs a look at the clock for each few hundred writes; what bursts lead to is not at once.
BOOST_AUTO_TEST_CASE(cost_the_same_where_writes_could_be_posted) {
    const auto rounds = watch_rounds({.first = warm, .last = 20 * warm, .posted_writes = true});
    BOOST_TEST(rounds.watched.allocations == 0U);
    BOOST_TEST(rounds.watched.locks == 0U);
    if (!shows_system_calls(rounds)) return;
    BOOST_TEST(rounds.watched.system_calls == 0U,
               rounds.watched.system_calls << " system calls:" << rounds.watched.first_system_calls);
}

BOOST_AUTO_TEST_CASE(with_statistics_read_the_clock_and_still_cost_nothing_else) {
    const auto rounds = watch_rounds({.first = warm, .last = 2 * warm, .statistics = true});
    BOOST_TEST(rounds.watched.allocations == 0U);
    BOOST_TEST(rounds.watched.locks == 0U);
    if (!shows_system_calls(rounds)) return;
    BOOST_TEST(rounds.watched.system_calls == 0U);
    BOOST_TEST(rounds.watched.clock_read);
}

BOOST_AUTO_TEST_SUITE_END()

// One atomic instruction takes the device's turn and one gives it back.
BOOST_AUTO_TEST_CASE(an_exit_has_two_atomic_instructions) {
    constexpr std::uint32_t rounds = 2;
    const auto steps = fewest_steps(warm, warm + rounds);
    BOOST_TEST(steps.locked == rounds * 2 * exits_a_round);
    BOOST_TEST(steps.instructions > rounds * exits_a_round * 20, "single steps are not seen");
    BOOST_TEST_MESSAGE("instructions an exit: " << steps.instructions / (rounds * exits_a_round));
}

BOOST_AUTO_TEST_SUITE(the_watch_sees)

constexpr std::uint32_t first = 3;
constexpr std::uint32_t last = 12;
constexpr std::uint64_t rounds = last - first + 1;

BOOST_AUTO_TEST_CASE(an_allocation) {
    const auto watched = watch_rounds({.first = first, .last = last, .each = [] { delete new volatile int; }}).watched;
    BOOST_TEST(watched.allocations == rounds);
    BOOST_TEST(watched.releases == rounds);
}

BOOST_AUTO_TEST_CASE(a_lock) {
    std::mutex mutex;
    const auto watched =
        watch_rounds({.first = first, .last = last, .each = [&mutex] { const std::lock_guard lock(mutex); }}).watched;
    BOOST_TEST(watched.locks == rounds);
}

BOOST_AUTO_TEST_CASE(an_atomic_instruction) {
    std::atomic<int> atomic = 0;
    const auto locked = [](const std::function<void()>& extra) { return fewest_steps(first, first + 1, extra).locked; };
    const auto without = locked([] {});
    BOOST_TEST(locked([&atomic] { atomic.fetch_add(1); }) == without + 2);
    BOOST_TEST(locked([&atomic] { static_cast<void>(atomic.exchange(1)); }) == without + 2);
}

BOOST_AUTO_TEST_CASE(a_system_call) {
    const auto seen = watch_rounds({.first = first, .last = last, .each = [] { static_cast<void>(syscall(SYS_getppid)); }});
    if (!shows_system_calls(seen)) return;
    const auto& watched = seen.watched;
    BOOST_TEST(watched.system_calls == rounds);
    BOOST_TEST(watched.first_system_calls.find(" number 110 ") != std::string::npos, watched.first_system_calls);
}

BOOST_AUTO_TEST_CASE(a_look_at_the_clock) {
    const auto seen =
        watch_rounds({.first = first, .last = last, .each = [] { static_cast<void>(std::chrono::steady_clock::now()); }});
    if (!shows_system_calls(seen)) return;
    const auto& watched = seen.watched;
    BOOST_TEST(watched.clock_read);
}

BOOST_AUTO_TEST_SUITE_END()
