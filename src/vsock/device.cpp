/// The socket device (virtio 1.2, 5.10).
#include "vsock/hub.hpp"

#include <asyncvm/state.hpp>
#include <asyncvm/vsock.hpp>

#include <array>
#include <optional>
#include <utility>

namespace asyncvm::vsock {

namespace {

constexpr unsigned receive_queue = 0;
constexpr unsigned transmit_queue = 1;
constexpr unsigned fair_share = 64;  ///< packets, after which the loop's other work has its turn

class Vsock final : public virtio::Device {
public:
    Vsock(std::shared_ptr<Hub> hub, std::uint32_t cid) : hub_(std::move(hub)), cid_(cid) {}
    ~Vsock() override { hub_->close(); }

    [[nodiscard]] std::string_view name() const noexcept override { return "virtio-vsock"; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return 19; }
    [[nodiscard]] std::vector<virtio::QueueShape> queues() const override {
        constexpr std::uint16_t packets = 128;
        constexpr std::uint16_t events = 8;
        return {{.size = packets}, {.size = packets, .output = true}, {.size = events}};
    }
    /// The guest's cid (5.10.4).
    [[nodiscard]] std::vector<std::byte> config() const override {
        std::vector<std::byte> space(sizeof(std::uint64_t));
        for (std::size_t i = 0; i < sizeof cid_; ++i) space[i] = static_cast<std::byte>(cid_ >> 8 * i);
        return space;
    }

    [[nodiscard]] awaitable<void> serve(virtio::Queue& queue) override {
        if (queue.index() == receive_queue) return to_guest(queue);
        if (queue.index() == transmit_queue) return from_guest(queue);
        return tell_events(queue);
    }

    void reset() override {
        streams_gone_ = false;
        hub_->drop_all();
    }
    /// A stream can't be saved: its other end is a program of this host. A guest that is restored is told.
    void restore(StateReader& reader) override {
        virtio::Device::restore(reader);
        hub_->drop_all();
        streams_gone_ = true;
        events_.notify();
    }

private:
    /// Programs of the host can connect as long as the driver takes packets.
    class Serving {
    public:
        explicit Serving(Hub& hub) : hub_(hub) { hub_.serve(true); }
        Serving(const Serving&) = delete;
        Serving& operator=(const Serving&) = delete;
        ~Serving() { hub_.serve(false); }

    private:
        Hub& hub_;
    };

    static awaitable<void> yield() {
        const auto executor = co_await asio::this_coro::executor;
        co_await asio::post(executor, use_awaitable);
    }

    awaitable<void> to_guest(virtio::Queue& queue) {
        const Serving serving(*hub_);
        std::optional<virtio::Chain> chain;
        for (unsigned packets = 1;; ++packets) {
            if (packets % fair_share == 0) co_await yield();
            const auto seen = hub_->changed().generation();
            if (!hub_->has_packet()) {
                co_await hub_->changed().wait(seen);
                continue;
            }
            if (!chain) {
                auto next = co_await queue.pop();
                if (next.writable_size() <= header_size) {
                    queue.fail("a receive buffer without room for a packet");
                    continue;
                }
                chain.emplace(std::move(next));
            }
            const auto size = hub_->fill(*chain);
            if (size == 0) continue;
            queue.push(std::move(*chain), size);
            chain.reset();
        }
    }

    awaitable<void> from_guest(virtio::Queue& queue) {
        for (unsigned packets = 1;; ++packets) {
            if (packets % fair_share == 0) co_await yield();
            const auto seen = hub_->changed().generation();
            if (!hub_->takes()) {
                co_await hub_->changed().wait(seen);
                continue;
            }
            auto chain = co_await queue.pop();
            if (hub_->take(chain)) {
                queue.push(std::move(chain), 0);
            } else {
                queue.fail("a packet without its header or its payload");
            }
        }
    }

    awaitable<void> tell_events(virtio::Queue& queue) {
        for (;;) {
            const auto seen = events_.generation();
            if (!streams_gone_) {
                co_await events_.wait(seen);
                continue;
            }
            auto chain = co_await queue.pop();
            constexpr std::array<std::byte, 4> transport_reset{};
            const auto written = chain.write(0, transport_reset);
            streams_gone_ = false;
            queue.push(std::move(chain), written);
        }
    }

    std::shared_ptr<Hub> hub_;
    std::uint32_t cid_;
    Event events_;
    bool streams_gone_ = false;  ///< and the guest does not know it
};

}  // namespace

}  // namespace asyncvm::vsock

namespace asyncvm::virtio {

std::shared_ptr<Device> make_vsock(const VsockSpec& spec, asio::io_context& loop, Log log) {
    auto hub = std::make_shared<vsock::Hub>(spec, loop, std::move(log));
    hub->start();
    return std::make_shared<vsock::Vsock>(std::move(hub), spec.cid);
}

}  // namespace asyncvm::virtio
