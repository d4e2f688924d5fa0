/// The console device (virtio 1.2, 5.3) with ports that are no consoles: named streams of bytes between programs of the
/// guest and of the host.
#include <asyncvm/error.hpp>
#include <asyncvm/state.hpp>
#include <asyncvm/virtio.hpp>

#include <algorithm>
#include <array>
#include <deque>
#include <exception>
#include <optional>
#include <utility>

#include "virtio/console_stream.hpp"
#include "virtio/jobs.hpp"
#include "virtio/port_control.hpp"

namespace asyncvm::virtio {

namespace {

// Queues. Those of port n are 2n + 2 and 2n + 3; port 0, a console, has the first two. There is none.
constexpr unsigned console_output = 1, to_driver = 2, to_device = 3, first_port = 4;

class Ports final : public Device {
public:
    explicit Ports(std::vector<Port> ports) : control_(ports.size()) {
        for (Port& port : ports) {
            names_.push_back(std::move(port.name));
            streams_.emplace_back(std::move(port.chardev)).set_open(false);
        }
    }

    [[nodiscard]] std::string_view name() const noexcept override { return "virtio-ports"; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return 3; }
    [[nodiscard]] std::uint64_t features() const override {
        constexpr std::uint64_t several_ports = std::uint64_t{1} << 1;
        return several_ports;
    }
    [[nodiscard]] std::vector<QueueShape> queues() const override {
        std::vector<QueueShape> shapes{{.size = 64, .coroutines = 0}, {.size = 64}, {.size = 64}, {.size = 64}};
        for (std::size_t i = 0; i < streams_.size(); ++i) {
            shapes.push_back({.size = 64});
            shapes.push_back({.size = 64, .output = true});
        }
        return shapes;
    }
    /// The size of a console that there is not, and how many ports there can be.
    [[nodiscard]] std::vector<std::byte> config() const override {
        std::vector<std::byte> space(8);
        space[4] = static_cast<std::byte>(streams_.size() + 1);
        return space;
    }

    void attached(const DeviceContext& context) override {
        loop_ = &context.loop;
        gate_ = context.gate;
        for (ConsoleStream& stream : streams_) stream.attached(context);
    }

    [[nodiscard]] awaitable<void> serve(Queue& queue) override {
        if (queue.index() == console_output) return swallow(queue);
        if (queue.index() == to_driver) return tell(queue);
        if (queue.index() == to_device) return hear(queue);
        ConsoleStream& stream = streams_[(queue.index() - first_port) / 2];
        return queue.index() % 2 == 0 ? stream.receive(queue) : stream.transmit(queue);
    }

    [[nodiscard]] awaitable<void> run() override {
        Jobs watchers(*loop_);
        for (ConsoleStream& stream : streams_) {
            watchers.start(nullptr, watch(stream.chardev()), [](const std::exception_ptr&, bool) {});
        }
        const auto never = std::make_shared<OneShot>();
        std::exception_ptr end;
        try {
            co_await never->wait();
        } catch (...) {
            end = std::current_exception();
        }
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        watchers.cancel();
        co_await watchers.ended();
        std::rethrow_exception(end);
    }

    void reset() override {
        control_.reset();
        for (ConsoleStream& stream : streams_) stream.reset();
        follow();
    }

    void save(StateWriter& writer) override {
        save_state(writer, name(), control_);
        for (ConsoleStream& stream : streams_) save_state(writer, name(), stream.state());
    }
    void restore(StateReader& reader) override {
        PortControl control = control_;
        restore_state(reader, name(), control);
        if (control.ports() != control_.ports()) {
            throw Error(ErrorKind::usage, "the saved state of virtio-ports is of a device with other ports");
        }
        control_ = std::move(control);
        for (ConsoleStream& stream : streams_) restore_state(reader, name(), stream.state());
        follow();
    }

private:
    /// A driver that does not know of several ports writes to a console.
    static awaitable<void> swallow(Queue& queue) {
        for (;;) {
            Chain chain = co_await queue.pop();
            queue.push(std::move(chain), 0);
        }
    }

    awaitable<void> tell(Queue& queue) {
        std::optional<Chain> chain;
        for (;;) {
            const auto seen = news_.generation();
            if (!gate_->is_open()) co_await PauseGate::passed(gate_);
            const auto message = control_.next(connected());
            if (!message) {
                co_await news_.wait(seen);
                continue;
            }
            if (!chain) {
                auto next = co_await queue.pop();
                chain.emplace(std::move(next));
                continue;  // things may be different by now
            }
            const auto bytes = PortControl::bytes_of(*message, names_[message->port - 1]);
            if (chain->writable_size() < bytes.size()) {
                queue.fail("a buffer that is too small for a control message");
            } else {
                const auto written = chain->write(0, bytes);
                queue.push(std::move(*chain), written);
                control_.told(*message);
            }
            chain.reset();
        }
    }

    awaitable<void> hear(Queue& queue) {
        for (;;) {
            Chain chain = co_await queue.pop();
            std::array<std::byte, PortControl::message_size> bytes{};
            if (chain.read(0, bytes) < bytes.size()) {
                queue.fail("a control message that ends early");
                continue;
            }
            control_.heard(PortControl::parse(bytes));
            queue.push(std::move(chain), 0);
            follow();
        }
    }

    /// What the control queues have said takes effect.
    void follow() {
        for (std::size_t i = 0; i < streams_.size(); ++i) streams_[i].set_open(control_.guest_has_open(i));
        news_.notify();
    }

    awaitable<void> watch(Chardev& chardev) {
        bool connected = chardev.connected();
        for (;;) {
            const auto seen = chardev.changed().generation();
            if (const bool now = chardev.connected(); std::exchange(connected, now) != now) news_.notify();
            co_await chardev.changed().wait(seen);
        }
    }

    [[nodiscard]] std::vector<bool> connected() const {
        std::vector<bool> all;
        for (const ConsoleStream& stream : streams_) all.push_back(stream.chardev().connected());
        return all;
    }

    asio::io_context* loop_ = nullptr;
    std::shared_ptr<PauseGate> gate_;
    std::vector<std::string> names_;
    std::deque<ConsoleStream> streams_;  ///< whose coroutines hold their addresses
    PortControl control_;
    Event news_;  ///< the driver may have to be told something
};

}  // namespace

std::shared_ptr<Device> make_ports(std::vector<Port> ports) {
    if (ports.empty() || ports.size() > most_ports) throw Error(ErrorKind::usage, "a device has 1 to 16 virtio ports");
    return std::make_shared<Ports>(std::move(ports));
}

}  // namespace asyncvm::virtio
