/// The surroundings of a device without a machine: a clock that the test turns by hand, and interrupt lines that it sees.
#pragma once

#include <asyncvm/device_context.hpp>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>
#include <vector>

namespace asyncvm {

class ManualClock final : public MachineClock {
public:
    [[nodiscard]] time_point now() const noexcept override {
        const std::lock_guard lock(mutex_);
        const auto read = now_;
        if (jump_after_ > 0 && --jump_after_ == 0) now_ += jump_;
        return read;
    }

    /// The time moves on by `by` once it has been read `readings` times more: a thread that is held up between two readings.
    void jump_after(unsigned readings, duration by) {
        const std::lock_guard lock(mutex_);
        jump_after_ = readings;
        jump_ = by;
    }

    [[nodiscard]] std::chrono::system_clock::time_point time_of_day() const noexcept override {
        return day_starts_ + std::chrono::duration_cast<std::chrono::system_clock::duration>(now().time_since_epoch());
    }

    /// Not while another thread uses the clock.
    void set_time_of_day(std::chrono::system_clock::time_point time) { day_starts_ += time - time_of_day(); }

    [[nodiscard]] awaitable<void> wait_until(time_point time) override {
        for (;;) {
            const auto seen = moved_.generation();
            if (now() >= time) co_return;
            co_await moved_.wait(seen);
        }
    }

    [[nodiscard]] awaitable<void> wait(Event& event, std::uint64_t seen, time_point time) override {
        const Listener listener(*this, event, time);
        if (now() < time) co_await event.wait(seen);
    }

    /// Wakes whoever waits for the time. Any thread.
    void advance(duration by) {
        std::vector<Event*> due;
        {
            const std::lock_guard lock(mutex_);
            now_ += by;
            for (const auto& [event, time] : listeners_) {
                if (time <= now_) due.push_back(event);
            }
        }
        moved_.notify();
        for (auto* const event : due) event->notify();
    }

    /// How many coroutines wait for an event or a time.
    [[nodiscard]] std::size_t listeners() const {
        const std::lock_guard lock(mutex_);
        return listeners_.size();
    }

private:
    class Listener {
    public:
        Listener(ManualClock& clock, Event& event, time_point time) : clock_(clock), place_(&event, time) {
            const std::lock_guard lock(clock_.mutex_);
            clock_.listeners_.push_back(place_);
        }
        Listener(const Listener&) = delete;
        Listener& operator=(const Listener&) = delete;
        ~Listener() {
            const std::lock_guard lock(clock_.mutex_);
            clock_.listeners_.erase(std::ranges::find(clock_.listeners_, place_));
        }

    private:
        ManualClock& clock_;
        std::pair<Event*, time_point> place_;
    };

    mutable std::mutex mutex_;
    mutable time_point now_{};
    mutable unsigned jump_after_ = 0;  ///< 0: no jump
    duration jump_{};
    std::chrono::system_clock::time_point day_starts_{};
    std::vector<std::pair<Event*, time_point>> listeners_;
    Event moved_;
};

class CountingRandom final : public RandomSource {
public:
    void fill(std::span<std::byte> bytes) noexcept override {
        for (auto& byte : bytes) byte = static_cast<std::byte>(next_++);
    }

private:
    unsigned next_ = 0;
};

/// What a DeviceContext refers to. The lines of all 24 interrupts end in pins that count edges.
class Surroundings {
public:
    explicit Surroundings(asio::io_context& loop) : loop_(loop) {}

    struct Pin {
        unsigned rising = 0;
        unsigned falling = 0;
        IrqPin pin{[this](bool level) { ++(level ? rising : falling); }};
    };

    [[nodiscard]] DeviceContext context() {
        return {.memory = memory,
                .loop = loop_,
                .log = {},
                .clock = clock,
                .random = random,
                .gate = gate,
                .irq = [this](unsigned irq) { return IrqLine(pins.at(irq).pin); }};
    }

    GuestMemory memory{GuestMemory::page_size};
    ManualClock clock;
    CountingRandom random;
    std::shared_ptr<PauseGate> gate = std::make_shared<PauseGate>();
    std::array<Pin, 24> pins{};

private:
    asio::io_context& loop_;
};

}  // namespace asyncvm
