/// Devices that note what a bus does to them.
#pragma once

#include <asyncvm/device.hpp>
#include <asyncvm/event.hpp>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace asyncvm::test {

/// Reads give the offset in each byte; everything is noted.
class Recorder : public Device {
public:
    explicit Recorder(unsigned max_size = 8, Affinity affinity = Affinity::in_place)
        : max_size_(max_size), affinity_(affinity) {}

    std::string_view name() const noexcept override { return "recorder"; }
    Affinity affinity() const noexcept override { return affinity_; }
    unsigned max_access_size() const noexcept override { return max_size_; }

    awaitable<void> write(const Access& access) override {
        note(access);
        co_return;
    }

    awaitable<void> read(Access& access) override {
        access.data = 0x8877'6655'4433'2211 + access.offset;
        note(access);
        co_return;
    }

    std::vector<Access> accesses;
    std::thread::id thread;

private:
    void note(const Access& access) {
        accesses.push_back(access);
        thread = std::this_thread::get_id();
    }

    unsigned max_size_;
    Affinity affinity_;
};

/// Throws at each access.
class Broken : public Device {
public:
    std::string_view name() const noexcept override { return "broken"; }
    awaitable<void> write(const Access&) override { return fail(); }
    awaitable<void> read(Access&) override { return fail(); }
    int accesses = 0;

private:
    awaitable<void> fail() {
        ++accesses;
        throw std::runtime_error("out of smoke");
        co_return;
    }
};

/// Answers a read when the test says so.
class Slow : public Device {
public:
    explicit Slow(Affinity affinity = Affinity::in_place) : affinity_(affinity) {}
    std::string_view name() const noexcept override { return "slow"; }
    Affinity affinity() const noexcept override { return affinity_; }
    awaitable<void> write(const Access&) override { co_return; }
    awaitable<void> read(Access& access) override {
        began.push_back(access.cpu);
        arrived.notify();
        const auto number = began.size();
        for (;;) {
            const auto seen = released.generation();
            if (seen >= number) break;
            co_await released.wait(seen);
        }
        access.data = access.cpu;
        finished = true;
    }

    std::vector<unsigned> began;
    Event arrived;
    Event released;  ///< its generation is the number of reads that may end
    bool finished = false;

private:
    Affinity affinity_;
};

}  // namespace asyncvm::test
