/// A virtio device for tests, and its driver.
#pragma once

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "mmio_driver.hpp"

namespace asyncvm::virtio {

inline constexpr std::uint16_t for_device = RingDriver::writes;

/// Answers each request with its text backwards, when its host lets it: queue 0 with four coroutines, queue 1 with one.
class Mirror final : public Device {
public:
    /// `polled_for`: of queue 0.
    explicit Mirror(std::chrono::microseconds polled_for = QueueShape{}.polled_for) : polled_for_(polled_for) {}

    [[nodiscard]] std::string_view name() const noexcept override { return "virtio-mirror"; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return 42; }
    [[nodiscard]] std::uint64_t features() const override { return 1; }
    [[nodiscard]] std::vector<QueueShape> queues() const override {
        return {{.size = 8, .coroutines = 4, .polled_for = polled_for_}, {.size = 8}};
    }
    [[nodiscard]] std::vector<std::byte> config() const override {
        return {std::byte{0x11}, std::byte{mode}, std::byte{0x33}};
    }
    void write_config(std::size_t offset, std::span<const std::byte> bytes) override {
        if (offset == 1) mode = std::to_integer<std::uint8_t>(bytes[0]) & 1;
    }

    [[nodiscard]] awaitable<void> serve(Queue& queue) override {
        for (;;) {
            Chain chain = co_await queue.pop();
            ++under_way;
            co_await host();
            --under_way;
            std::string text(chain.readable_size(), '\0');
            chain.read(0, std::as_writable_bytes(std::span(text)));
            if (text == "throw") throw std::runtime_error("the host is gone");
            if (text == "wrong") {
                queue.fail("a word that must not be");
                continue;
            }
            std::ranges::reverse(text);
            const std::size_t written = chain.write(0, std::as_bytes(std::span(text)));
            queue.push(std::move(chain), written);
        }
    }

    /// As a read of a file: once begun it can't be cancelled.
    [[nodiscard]] awaitable<void> host() {
        co_await asio::this_coro::throw_if_cancelled(false);
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        for (;;) {
            const auto seen = change.generation();
            if (!busy) break;
            co_await change.wait(seen);
        }
        co_await asio::this_coro::throw_if_cancelled(true);
        co_await asio::this_coro::reset_cancellation_state();
    }
    void set_busy(bool is_busy) {
        busy = is_busy;
        change.notify();
    }

    void reset() override {
        ++resets;
        mode = 0;
        BOOST_TEST(under_way == 0u);
    }
    void change_config() {
        mode = 1;
        config_changed();
    }
    [[nodiscard]] bool has(std::uint64_t features) const { return negotiated(features); }

    std::uint8_t mode = 0;
    bool busy = false;
    unsigned under_way = 0;
    unsigned resets = 0;
    Event change;

private:
    const std::chrono::microseconds polled_for_;
};

/// A driver of a Mirror, at whatever transport.
template <class Driver>
struct Asking : Driver {
    explicit Asking(std::shared_ptr<Mirror> of = std::make_shared<Mirror>()) : Driver(of), mirror(std::move(of)) {}
    using Driver::ring;

    static constexpr std::uint64_t requests = 0x8000;

    /// A request whose answer goes behind it.
    void ask(std::uint16_t head, std::string_view text, unsigned queue = 0) {
        const std::uint64_t at = requests + 0x100 * head + 0x1000 * queue;
        ring(queue).put_text(at, text);
        ring(queue).offer(head, {{at, static_cast<std::uint32_t>(text.size())},
                                 {at + 0x80, static_cast<std::uint32_t>(text.size()), for_device}});
    }
    [[nodiscard]] std::string answer(std::uint16_t head, std::size_t size, unsigned queue = 0) {
        return ring(queue).text_at(requests + 0x100 * head + 0x1000 * queue + 0x80, size);
    }

    std::shared_ptr<Mirror> mirror;
};

using MirrorDriver = Asking<MmioDriver>;

}  // namespace asyncvm::virtio
