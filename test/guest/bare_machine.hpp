/// An accelerator, memory and one vCPU, without a Machine: the test itself answers each exit.
#pragma once

#include <asyncvm/accelerator.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <variant>

#include "boot/initial_state.hpp"

namespace asyncvm::test {

/// Kicks a vCPU again and again when `limit` is over: a guest that gives no exit fails its test and does not hang it.
class TimeLimit {
public:
    explicit TimeLimit(Cpu& cpu, std::chrono::seconds limit = std::chrono::seconds(60))
        : thread_([this, &cpu, limit] {
              std::unique_lock lock(mutex_);
              if (ended_changed_.wait_for(lock, limit, [this] { return ended_; })) return;
              over_ = true;
              while (!ended_changed_.wait_for(lock, std::chrono::milliseconds(20), [this] { return ended_; })) cpu.kick();
          }) {}
    ~TimeLimit() {
        {
            const std::lock_guard lock(mutex_);
            ended_ = true;
        }
        ended_changed_.notify_one();
        thread_.join();
    }
    TimeLimit(const TimeLimit&) = delete;
    TimeLimit& operator=(const TimeLimit&) = delete;

    [[nodiscard]] bool over() {
        const std::lock_guard lock(mutex_);
        return over_;
    }

private:
    std::mutex mutex_;
    std::condition_variable ended_changed_;
    bool ended_ = false;
    bool over_ = false;
    std::thread thread_;
};

struct BareMachine {
    static constexpr std::uint64_t load_at = 0x10000;

    explicit BareMachine(std::unique_ptr<Accelerator> on, std::uint64_t size = 1 << 20)
        : memory(size), accelerator(std::move(on)) {}

    void load(std::span<const std::byte> code, Mode mode = Mode::real16) {
        memory.write(load_at, code);
        const Registers start = initial_registers(memory, mode, load_at);
        accelerator->map(memory);
        cpu = accelerator->create_cpu(0);
        cpu->set_registers(start);
    }

    /// Runs on to the next exit that is none of a kick's.
    Exit next_exit() {
        TimeLimit limit(*cpu);
        for (;;) {
            const Exit exit = cpu->run();
            BOOST_REQUIRE_MESSAGE(!limit.over(), "the guest gives no exit");
            if (!std::holds_alternative<Interrupted>(exit)) return exit;
        }
    }

    /// The next exit must be an OUT; returns what it writes.
    std::uint64_t next_out() {
        const Exit exit = next_exit();
        const auto* const port = std::get_if<PortAccess>(&exit);
        BOOST_REQUIRE_MESSAGE(port != nullptr && port->direction == Direction::write,
                              "not an OUT but exit " << exit.index());
        std::uint64_t value = 0;
        std::memcpy(&value, port->data.data(), port->data.size());
        return value;
    }

    GuestMemory memory;
    std::unique_ptr<Accelerator> accelerator;
    std::unique_ptr<Cpu> cpu;
};

}  // namespace asyncvm::test
