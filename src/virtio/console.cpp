/// The console device (virtio 1.2, 5.3) with one port.
#include <asyncvm/chardev.hpp>
#include <asyncvm/state.hpp>
#include <asyncvm/virtio.hpp>

#include <algorithm>
#include <span>
#include <utility>

namespace asyncvm::virtio {

namespace {

class Console final : public Device {
public:
    explicit Console(std::shared_ptr<Chardev> chardev) : chardev_(std::move(chardev)) {}

    [[nodiscard]] std::string_view name() const noexcept override { return "virtio-console"; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return 3; }
    [[nodiscard]] std::vector<QueueShape> queues() const override { return {{.size = 64}, {.size = 64, .output = true}}; }

    void attached(const DeviceContext& context) override { gate_ = context.gate; }

    [[nodiscard]] awaitable<void> serve(Queue& queue) override {
        constexpr unsigned receive_queue = 0;
        return queue.index() == receive_queue ? receive(queue) : transmit(queue);
    }

    void reset() override { sent_ = {}; }
    void save(StateWriter& writer) override { save_state(writer, name(), sent_); }
    void restore(StateReader& reader) override { restore_state(reader, name(), sent_); }

private:
    /// Of the chain that is being sent: a restored device does not send these bytes again.
    struct Sent {
        static constexpr unsigned state_version = 1;
        std::uint64_t bytes = 0;

        template <class Archive>
        void fields(Archive& archive) {
            archive.field("bytes", bytes);
        }
    };

    /// A chain is given back when the chardev has taken all of it: a driver that waits for that loses nothing.
    [[nodiscard]] awaitable<void> transmit(Queue& queue) {
        for (;;) {
            Chain chain = co_await queue.pop();
            std::uint64_t skip = sent_.bytes;
            for (auto rest : chain.readable()) {
                const auto skipped = std::min<std::uint64_t>(skip, rest.size());
                skip -= skipped;
                rest = rest.subspan(skipped);
                while (!rest.empty()) {
                    const auto seen = chardev_->changed().generation();
                    const std::size_t taken = chardev_->write_some(rest);
                    sent_.bytes += taken;
                    rest = rest.subspan(taken);
                    if (!rest.empty()) co_await chardev_->changed().wait(seen);
                }
            }
            sent_ = {};
            queue.push(std::move(chain), 0);
        }
    }

    /// A chain waits for input, and goes back with what is there then.
    [[nodiscard]] awaitable<void> receive(Queue& queue) {
        for (;;) {
            Chain chain = co_await queue.pop();
            std::uint64_t received = 0;
            while (received == 0 && chain.writable_size() > 0) {
                const auto seen = chardev_->changed().generation();
                if (!gate_->is_open()) co_await PauseGate::passed(gate_);
                for (const auto buffer : chain.writable()) {
                    const std::size_t taken = read(buffer);
                    received += taken;
                    if (taken < buffer.size()) break;
                }
                if (received == 0) co_await chardev_->changed().wait(seen);
            }
            queue.push(std::move(chain), received);
        }
    }

    /// A console has no BREAK: input goes on behind one.
    [[nodiscard]] std::size_t read(std::span<std::byte> buffer) {
        std::size_t taken = 0;
        while (taken < buffer.size()) {
            const std::size_t more = chardev_->read_some(buffer.subspan(taken));
            taken += more;
            if (more == 0 && !chardev_->take_break()) break;
        }
        return taken;
    }

    const std::shared_ptr<Chardev> chardev_;
    std::shared_ptr<PauseGate> gate_;
    Sent sent_;
};

}  // namespace

std::shared_ptr<Device> make_console(std::shared_ptr<Chardev> chardev) {
    return std::make_shared<Console>(std::move(chardev));
}

}  // namespace asyncvm::virtio
