/// Devices that cost as little as a device can, so that what is measured is the way to them.
#pragma once

#include <asyncvm/device.hpp>
#include <asyncvm/sleep.hpp>

#include <asio/buffer.hpp>
#include <asio/local/connect_pair.hpp>
#include <asio/local/stream_protocol.hpp>

#include "processor_time.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <utility>

namespace asyncvm::bench {

/// Answers at once, and counts.
class Silent final : public Device {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "silent"; }
    [[nodiscard]] awaitable<void> write(const Access&) override {
        ++accesses_;
        co_return;
    }
    [[nodiscard]] awaitable<void> read(Access& access) override {
        ++accesses_;
        access.data = 0;
        co_return;
    }
    [[nodiscard]] std::uint64_t accesses() const noexcept { return accesses_; }

private:
    std::uint64_t accesses_ = 0;
};

/// The mark port: the times of the first and the last write, of whatever vCPU.
class Marks final : public Device {
public:
    static constexpr std::uint64_t port = 0x90;

    [[nodiscard]] std::string_view name() const noexcept override { return "marks"; }
    [[nodiscard]] awaitable<void> write(const Access&) override {
        const auto now = Clock::now();
        if (now < first_) first_ = now, processor_first_ = processor_time();
        if (now > last_) last_ = now, processor_last_ = processor_time();
        co_return;
    }
    [[nodiscard]] awaitable<void> read(Access&) override { co_return; }

    /// From the first mark of any vCPU to the last one.
    [[nodiscard]] std::chrono::nanoseconds elapsed() const { return last_ - first_; }

    /// What the process, with all of its threads, has run meanwhile.
    [[nodiscard]] std::chrono::nanoseconds processor() const { return processor_last_ - processor_first_; }

private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point first_ = Clock::time_point::max();
    Clock::time_point last_ = Clock::time_point::min();
    std::chrono::nanoseconds processor_first_{};
    std::chrono::nanoseconds processor_last_{};
};

/// Lives on the device loop and answers there: at once, when a time has come that has passed, after a timer of
/// Asio's that has expired, or after a byte from a socket that
/// is there already.
class OnLoop final : public Device {
public:
    enum class Wait { nothing, timer, asio_timer, socket };

    OnLoop(asio::io_context& loop, Wait wait) : wait_(wait), near_(loop), far_(loop) {
        asio::local::connect_pair(near_, far_);
    }

    [[nodiscard]] std::string_view name() const noexcept override { return "on-loop"; }
    [[nodiscard]] Affinity affinity() const noexcept override { return Affinity::device_loop; }
    [[nodiscard]] awaitable<void> write(const Access&) override {
        if (wait_ == Wait::timer) {
            co_await sleep_until(std::chrono::steady_clock::time_point::min());
        } else if (wait_ == Wait::asio_timer) {
            asio::steady_timer timer(co_await asio::this_coro::executor);
            timer.expires_at(std::chrono::steady_clock::time_point::min());
            co_await timer.async_wait(use_awaitable);
        } else if (wait_ == Wait::socket) {
            std::array<char, 1> byte{};
            far_.write_some(asio::buffer(byte));
            co_await near_.async_read_some(asio::buffer(byte), use_awaitable);
        }
        ++accesses_;
    }
    [[nodiscard]] awaitable<void> read(Access&) override { co_return; }
    [[nodiscard]] std::uint64_t accesses() const noexcept { return accesses_; }

private:
    Wait wait_;
    asio::local::stream_protocol::socket near_;
    asio::local::stream_protocol::socket far_;
    std::uint64_t accesses_ = 0;
};

}  // namespace asyncvm::bench
