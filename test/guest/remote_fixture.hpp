/// A machine with a device in another process, and one that notes what the guest writes.
#pragma once

#include <asyncvm/remote.hpp>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "pause_fixture.hpp"

namespace asyncvm::test {

/// Port 0x10: notes what is written there.
class Notes final : public Device {
public:
    std::string_view name() const noexcept override { return "notes"; }
    awaitable<void> write(const Access& access) override {
        {
            const std::lock_guard lock(mutex_);
            values_.push_back(access.data);
        }
        written.notify();
        co_return;
    }
    awaitable<void> read(Access&) override { co_return; }
    [[nodiscard]] std::vector<std::uint64_t> values() const {
        const std::lock_guard lock(mutex_);
        return values_;
    }
    Event written;

private:
    mutable std::mutex mutex_;
    std::vector<std::uint64_t> values_;
};

struct RemoteFixture {
    /// The device is at ports 0x300 to 0x30f; `words` are the peer's.
    explicit RemoteFixture(unsigned cpus = 1, std::unique_ptr<Accelerator> accelerator = make_accelerator_under_test(),
                           const std::function<void(MachineConfig&)>& adapt = {})
        : test(loop, cpus, std::move(accelerator), [adapt](MachineConfig& config) {
              config.cancellation_patience = std::chrono::milliseconds(500);
              config.resettable = true;
              if (adapt) adapt(config);
          }) {
        test.machine.ports().attach({0x10, 1, true}, notes);
        spec.how = RemoteSpec::How::exec;
        spec.ports = {{.first = 0x300, .size = 16}};
        spec.timeout = std::chrono::milliseconds(20'000);
        spec.reconnect = std::chrono::milliseconds(2);
    }

    [[nodiscard]] static std::string peer(const std::string& words) {
        const char* const path = std::getenv("REMOTE_PEER");
        BOOST_REQUIRE(path != nullptr);
        return std::string(path) + " " + words;
    }
    void attach(const std::string& words = {}) {
        if (spec.place.empty()) spec.place = peer(words);
        device = make_remote_device(spec, [this](std::string_view line) {
            const std::lock_guard lock(mutex);
            lines.emplace_back(line);
            changed.notify();
        });
        test.machine.ports().attach(spec.ports.front(), device);
    }

    void until(const std::function<bool()>& condition) {
        loop.restart();
        const auto limit = std::chrono::steady_clock::now() + patience;
        while (!condition() && std::chrono::steady_clock::now() < limit) loop.run_one_for(std::chrono::milliseconds(5));
        BOOST_REQUIRE(condition());
    }
    void await(awaitable<void> work) {
        bool ended = false;
        std::exception_ptr failure;
        asio::co_spawn(loop, std::move(work), [&](std::exception_ptr e) {
            failure = e;
            ended = true;
        });
        until([&] { return ended; });
        if (failure) std::rethrow_exception(failure);
    }
    [[nodiscard]] Pause pause() {
        std::optional<Pause> held;
        const auto work = [](Machine& machine, std::optional<Pause>& to) -> awaitable<void> {
            to.emplace(co_await machine.pause());
        };
        await(work(test.machine, held));
        return std::move(*held);
    }
    void stop() {
        test.machine.stop();
        until([&] { return test.outcome || test.failure; });
        BOOST_TEST(!test.failure);
    }
    [[nodiscard]] std::size_t count(std::string_view part) {
        const std::lock_guard lock(mutex);
        return static_cast<std::size_t>(
            std::ranges::count_if(lines, [part](const auto& line) { return line.find(part) != line.npos; }));
    }
    /// As text, for messages.
    [[nodiscard]] std::string all_lines() {
        const std::lock_guard lock(mutex);
        std::string all;
        for (const auto& line : lines) all += line + "\n";
        return all;
    }
    void expect(const std::vector<std::uint64_t>& values) {
        BOOST_TEST(notes->values() == values, boost::test_tools::per_element());
        BOOST_TEST_CONTEXT(all_lines()) { BOOST_TEST((notes->values() == values)); }
    }

    asio::io_context loop{1};
    TestMachine test;
    std::shared_ptr<Notes> notes = std::make_shared<Notes>();
    RemoteSpec spec;
    std::shared_ptr<RemoteDevice> device;
    std::mutex mutex;
    std::vector<std::string> lines;
    Event changed;
};

}  // namespace asyncvm::test
