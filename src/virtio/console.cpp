/// The console device (virtio 1.2, 5.3) with one port, which is a console.
#include <asyncvm/state.hpp>
#include <asyncvm/virtio.hpp>

#include <utility>

#include "virtio/console_stream.hpp"

namespace asyncvm::virtio {

namespace {

class Console final : public Device {
public:
    explicit Console(std::shared_ptr<Chardev> chardev) : stream_(std::move(chardev)) {}

    [[nodiscard]] std::string_view name() const noexcept override { return "virtio-console"; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return 3; }
    [[nodiscard]] std::uint64_t features() const override {
        constexpr std::uint64_t size = std::uint64_t{1} << 0;
        return size;
    }
    [[nodiscard]] std::vector<QueueShape> queues() const override { return {{.size = 64}, {.size = 64, .output = true}}; }

    /// Columns and rows; 0 by 0 as long as nobody knows them.
    [[nodiscard]] std::vector<std::byte> config() const override {
        const TerminalSize size = stream_.chardev().terminal_size();
        std::vector<std::byte> space;
        for (const unsigned extent : {size.columns, size.rows}) {
            space.push_back(static_cast<std::byte>(extent));
            space.push_back(static_cast<std::byte>(extent >> 8));
        }
        return space;
    }

    void attached(const DeviceContext& context) override {
        gate_ = context.gate;
        stream_.attached(context);
    }

    [[nodiscard]] awaitable<void> serve(Queue& queue) override {
        constexpr unsigned receive_queue = 0;
        return queue.index() == receive_queue ? receive(queue) : stream_.transmit(queue);
    }

    [[nodiscard]] awaitable<void> run() override {
        Chardev& chardev = stream_.chardev();
        TerminalSize told = chardev.terminal_size();
        for (;;) {
            const auto seen = chardev.changed().generation();
            if (!gate_->is_open()) co_await PauseGate::passed(gate_);
            if (const TerminalSize now = chardev.terminal_size(); std::exchange(told, now) != now) config_changed();
            co_await chardev.changed().wait(seen);
        }
    }

    void reset() override { stream_.reset(); }
    void save(StateWriter& writer) override { save_state(writer, name(), stream_.state()); }
    void restore(StateReader& reader) override { restore_state(reader, name(), stream_.state()); }

private:
    /// Linux reads the size of a console's only port when it is told of a change, and not before.
    [[nodiscard]] awaitable<void> receive(Queue& queue) {
        if (!gate_->is_open()) co_await PauseGate::passed(gate_);
        if (stream_.chardev().terminal_size() != TerminalSize{}) config_changed();
        co_await stream_.receive(queue);
    }

    std::shared_ptr<PauseGate> gate_;
    ConsoleStream stream_;
};

}  // namespace

std::shared_ptr<Device> make_console(std::shared_ptr<Chardev> chardev) {
    return std::make_shared<Console>(std::move(chardev));
}

}  // namespace asyncvm::virtio
