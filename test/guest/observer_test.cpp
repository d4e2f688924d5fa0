// What observers hear of a machine with a real guest.
#define BOOST_TEST_MODULE observer
#include <asyncvm/observer.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

#include "../unit/bus/devices.hpp"
#include "accelerator_under_test.hpp"
#include "pause_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

namespace {

/// Keeps each call as a line.
class Journal : public Observer {
public:
    void run_begins(const MachineLayout& layout) noexcept override {
        note(fmt::format("run begins: {} vCPUs, {} ranges of ports", layout.cpus, layout.ports.size()));
    }
    void run_ended() noexcept override { note("run ended"); }
    void entering(unsigned cpu) noexcept override { note(fmt::format("entering {}", cpu)); }
    void exited(unsigned cpu, const Exit& exit, std::uint64_t /*rip*/) noexcept override {
        if (std::holds_alternative<Interrupted>(exit)) {
            // A kick: the entry and its exit are not the guest's doing.
            const std::lock_guard lock(mutex_);
            lines_.pop_back();
        } else if (const auto* const port = std::get_if<PortAccess>(&exit)) {
            note(fmt::format("exited {}: {} {:#x}", cpu, port->direction == Direction::read ? "in" : "out", port->address));
        } else {
            note(fmt::format("exited {}: {}", cpu, std::holds_alternative<Halted>(exit) ? "halted" : "other"));
        }
    }
    void suspended(unsigned cpu) noexcept override {
        note(fmt::format("suspended {}", cpu));
        if (on_suspended) on_suspended();
    }
    void resumed(unsigned cpu) noexcept override { note(fmt::format("resumed {}", cpu)); }
    void answered(unsigned cpu, const Transaction& transaction) noexcept override {
        note(fmt::format("answered {}: {:#x}", cpu, std::to_integer<unsigned>(transaction.data[0])));
    }
    void cpu_ended(unsigned cpu) noexcept override { note(fmt::format("ended {}", cpu)); }
    void interrupt(unsigned gsi, bool level) noexcept override { note(fmt::format("interrupt {} {}", gsi, level)); }
    void message(const MsiMessage& message) noexcept override {
        note(fmt::format("message {:#x} at {:#x}", message.data, message.address));
    }
    void paused() noexcept override { note("paused"); }
    void unpaused() noexcept override { note("unpaused"); }
    void was_reset() noexcept override { note("was reset"); }
    void device_tells(std::string_view device, std::string_view what) noexcept override {
        note(fmt::format("{} tells: {}", device, what));
    }

    [[nodiscard]] std::vector<std::string> lines() const {
        const std::lock_guard lock(mutex_);
        return lines_;
    }
    [[nodiscard]] std::ptrdiff_t count(const std::string& line) const { return std::ranges::count(lines(), line); }

    std::function<void()> on_suspended;

private:
    void note(std::string line) noexcept {
        const std::lock_guard lock(mutex_);
        lines_.push_back(std::move(line));
    }
    mutable std::mutex mutex_;
    std::vector<std::string> lines_;
};

/// The accelerator under test with an interrupt controller that does nothing.
class WithController : public Accelerator {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return inner_->name(); }
    void map(const GuestMemory& memory) override { inner_->map(memory); }
    [[nodiscard]] std::unique_ptr<Cpu> create_cpu(unsigned index) override { return inner_->create_cpu(index); }
    [[nodiscard]] InterruptController* irqchip() noexcept override { return &controller_; }
    [[nodiscard]] unsigned signalled() const noexcept { return controller_.signalled; }

private:
    class Controller : public InterruptController {
    public:
        void set(unsigned, bool) noexcept override {}
        bool signal(const MsiMessage&) noexcept override {
            ++signalled;
            return true;
        }
        unsigned signalled = 0;
        void attach_irqfd(unsigned, int, int) override {}
        void detach_irqfd(unsigned, int) noexcept override {}
        void route(unsigned, const MsiMessage&) override {}
    };
    std::unique_ptr<Accelerator> inner_ = make_accelerator_under_test();
    Controller controller_;
};

std::function<void(MachineConfig&)> observed_by(std::vector<std::shared_ptr<Observer>> observers) {
    return [observers = std::move(observers)](MachineConfig& config) {
        config.observers = observers;
        config.resettable = true;
    };
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_run_is_told_step_by_step) {
    asio::io_context loop{1};
    const auto journal = std::make_shared<Journal>();
    const auto second = std::make_shared<Journal>();
    TestMachine test(loop, 1, make_accelerator_under_test(), observed_by({journal, second}));
    const auto slow = std::make_shared<Slow>();
    journal->on_suspended = [slow] { slow->released.notify(); };
    test.machine.ports().attach({0x10, 1}, std::make_shared<Recorder>());
    test.machine.ports().attach({0x11, 1}, slow);
    // in $0x11, %al; mov $7, %al; out %al, $0x10; in $0x64, %al; hlt
    test.load({0xe4, 0x11, 0xb0, 0x07, 0xe6, 0x10, 0xe4, 0x64, 0xf4});
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    const std::vector<std::string> expected{
        "run begins: 1 vCPUs, 2 ranges of ports",
        "entering 0",
        "exited 0: in 0x11",
        "suspended 0",
        "resumed 0",
        "answered 0: 0x0",
        "entering 0",
        "exited 0: out 0x10",
        "answered 0: 0x7",
        "entering 0",
        "exited 0: in 0x64",
        "answered 0: 0xff",
        "entering 0",
        "exited 0: halted",
        "ended 0",
        "run ended",
    };
    BOOST_TEST(journal->lines() == expected, boost::test_tools::per_element());
    BOOST_TEST(second->lines() == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_happens_on_the_device_loop_is_told_there_and_who_has_an_address_can_be_asked) {
    class Asking : public Journal {
    public:
        void run_begins(const MachineLayout& layout) noexcept override { ports = layout.port_bus; }
        void exited(unsigned, const Exit& exit, std::uint64_t) noexcept override {
            if (const auto* const port = std::get_if<PortAccess>(&exit))
                devices.emplace_back(ports->device_name(port->address));
        }
        void loop_access(std::string_view device, bool begins) noexcept override {
            devices.emplace_back(fmt::format("{} {}", device, begins ? "begins" : "ends"));
        }
        const Bus* ports = nullptr;
        std::vector<std::string> devices;
    };
    asio::io_context loop{1};
    const auto journal = std::make_shared<Asking>();
    TestMachine test(loop, 1, make_accelerator_under_test(), observed_by({journal}));
    const auto slow = std::make_shared<Slow>(Affinity::device_loop);
    slow->released.notify();
    test.machine.ports().attach({0x11, 1}, slow);
    test.load({0xe4, 0x11, 0xf4});
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    BOOST_TEST(journal->devices == (std::vector<std::string>{"slow", "slow begins", "slow ends"}),
               boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(a_pause_and_a_reset_in_it_are_told_once_and_nothing_moves_between, Fixture) {
    const auto journal = std::make_shared<Journal>();
    TestMachine own(loop, 1, make_accelerator_under_test(), observed_by({journal}));
    const auto counting = std::make_shared<Counting>();
    own.machine.ports().attach({0x10, 1}, counting);
    own.load({0xfe, 0xc0, 0xe6, 0x10, 0xeb, 0xfa});
    own.start();
    until([&] { return counting->writes > 3; });
    const auto work = [](Machine& machine) -> awaitable<void> {
        const Pause first = co_await machine.pause();
        const Pause second = co_await machine.pause();
        co_await machine.reset();
    };
    await(work(own.machine));
    const auto before = counting->writes.load();
    until([&] { return counting->writes > before; });
    own.machine.stop();
    until([&] { return own.outcome.has_value(); });
    const auto lines = journal->lines();
    const auto paused = std::ranges::find(lines, "paused");
    BOOST_REQUIRE(lines.end() - paused > 3);
    BOOST_TEST(paused[1] == "was reset");
    BOOST_TEST(paused[2] == "unpaused");
    BOOST_TEST(journal->count("paused") == 1);
    BOOST_TEST(journal->count("was reset") == 1);
    BOOST_TEST(journal->count("unpaused") == 1);
}

BOOST_AUTO_TEST_CASE(a_pause_before_the_run_that_nobody_waits_for_is_not_told) {
    asio::io_context loop{1};
    const auto journal = std::make_shared<Journal>();
    TestMachine test(loop, 1, make_accelerator_under_test(), observed_by({journal}));
    test.load({0xf4});
    const auto work = [](Machine& machine) -> awaitable<void> { const Pause held = co_await machine.pause(); };
    asio::co_spawn(loop, work(test.machine), [](std::exception_ptr e) { BOOST_TEST(!e); });
    test.run();
    BOOST_TEST(journal->count("paused") == 0);
    BOOST_TEST(journal->count("unpaused") == 0);
}

BOOST_AUTO_TEST_CASE(the_level_of_an_interrupt_line_is_told_when_it_changes) {
    asio::io_context loop{1};
    const auto journal = std::make_shared<Journal>();
    TestMachine test(loop, 1, std::make_unique<WithController>(), observed_by({journal}));
    auto line = test.machine.irq(4);
    auto other = test.machine.irq(4);
    line.set(true);
    other.set(true);
    line.set(false);
    other.set(false);
    BOOST_TEST(journal->lines() == (std::vector<std::string>{"interrupt 4 true", "interrupt 4 false"}),
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_a_device_tells_is_told_with_its_name_and_not_after_the_machine) {
    class Teller : public Recorder {
    public:
        void attached(const DeviceContext& context) override { tell = context.tell; }
        std::function<void(std::string_view)> tell;
    };
    asio::io_context loop{1};
    const auto journal = std::make_shared<Journal>();
    const auto teller = std::make_shared<Teller>();
    {
        TestMachine test(loop, 1, make_accelerator_under_test(), observed_by({journal}));
        test.machine.ports().attach({0x10, 1}, teller);
        test.load({0xf4});
        test.run();
        teller->tell("news");
    }
    const auto line = fmt::format("{} tells: news", teller->name());
    BOOST_TEST(journal->count(line) == 1);
    teller->tell("news");
    BOOST_TEST(journal->count(line) == 1);
}

BOOST_AUTO_TEST_CASE(a_message_of_a_device_is_told_and_delivered) {
    class Sender : public Recorder {
    public:
        void attached(const DeviceContext& context) override { interrupts = context.interrupts; }
        InterruptController* interrupts = nullptr;
    };
    for (const bool observed : {true, false}) {
        asio::io_context loop{1};
        const auto journal = std::make_shared<Journal>();
        auto accelerator = std::make_unique<WithController>();
        auto& with = *accelerator;
        TestMachine test(loop, 1, std::move(accelerator), [&](MachineConfig& config) {
            if (observed) config.observers = {journal};
        });
        const auto sender = std::make_shared<Sender>();
        test.machine.ports().attach({0x10, 1}, sender);
        test.load({0xf4});
        test.run();
        BOOST_REQUIRE(sender->interrupts != nullptr);
        BOOST_TEST(sender->interrupts->signal({.address = 0xfee00000, .data = 0x31}));
        BOOST_TEST(with.signalled() == 1);
        BOOST_TEST(journal->count("message 0x31 at 0xfee00000") == (observed ? 1 : 0));
    }
}
