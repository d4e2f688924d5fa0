/// A pair of queues of the console device and the byte stream at their other end (virtio 1.2, 5.3.6).
#pragma once

#include <asyncvm/chardev.hpp>
#include <asyncvm/device_context.hpp>
#include <asyncvm/virtio.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace asyncvm::virtio {

/// Device loop. The object lives longer than its coroutines.
class ConsoleStream {
public:
    /// `chardev` is not null.
    explicit ConsoleStream(std::shared_ptr<Chardev> chardev);

    void attached(const DeviceContext& context) { gate_ = context.gate; }
    [[nodiscard]] Chardev& chardev() const noexcept { return *chardev_; }

    /// Serves the transmit queue. A chain is given back when the chardev has taken all of it: a driver that waits for that
    /// loses nothing.
    [[nodiscard]] awaitable<void> transmit(Queue& queue);

    /// Serves the receive queue. A chain waits for input, and goes back with what is there then.
    [[nodiscard]] awaitable<void> receive(Queue& queue);

    /// Whether the guest takes input, as at the beginning. Otherwise it waits in the chardev.
    void set_open(bool open);

    void reset() { state_ = {}; }

    /// Of the chain that is being sent: a restored device does not send these bytes again.
    struct State {
        static constexpr unsigned state_version = 1;
        std::uint64_t bytes = 0;

        template <class Archive>
        void fields(Archive& archive) {
            archive.field("bytes", bytes);
        }
    };
    [[nodiscard]] State& state() noexcept { return state_; }

private:
    [[nodiscard]] std::size_t read(std::span<std::byte> buffer);

    const std::shared_ptr<Chardev> chardev_;
    std::shared_ptr<PauseGate> gate_;
    State state_;
    bool open_ = true;
};

}  // namespace asyncvm::virtio
