/// The network card (virtio 1.2, 5.1), without offloads: a frame is what is on the wire.
#include <asyncvm/state.hpp>
#include <asyncvm/virtio_net.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace asyncvm::virtio {

namespace {

constexpr std::uint64_t net_mac = std::uint64_t{1} << 5;
constexpr std::uint64_t net_mergeable_buffers = std::uint64_t{1} << 15;
constexpr std::uint64_t net_status = std::uint64_t{1} << 16;
constexpr std::uint64_t net_control = std::uint64_t{1} << 17;
constexpr std::uint64_t net_control_filter = std::uint64_t{1} << 18;
constexpr std::uint64_t net_control_mac = std::uint64_t{1} << 23;

constexpr unsigned receive_queue = 0;
constexpr unsigned transmit_queue = 1;
constexpr std::size_t net_header = 12;     ///< bytes before a frame (5.1.6)
constexpr std::size_t buffers_place = 10;  ///< in the header: how many chains the frame takes
constexpr std::size_t mac_size = 6;
constexpr unsigned fair_share = 64;  ///< frames, after which the loop's other work has its turn

/// What the guest could tell the card from a new one by.
struct NetState {
    MacAddress mac{};

    static constexpr unsigned state_version = 1;
    template <class Archive>
    void fields(Archive& archive) {
        archive.field("mac", mac);
    }
};

class Net final : public Device {
public:
    Net(std::shared_ptr<NetBackend> backend, const MacAddress& mac)
        : backend_(std::move(backend)), own_mac_(mac), state_{mac} {}

    [[nodiscard]] std::string_view name() const noexcept override { return "virtio-net"; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return 1; }
    [[nodiscard]] std::uint64_t features() const override {
        return net_mac | net_mergeable_buffers | net_status | net_control | net_control_filter | net_control_mac;
    }
    [[nodiscard]] std::vector<QueueShape> queues() const override {
        constexpr std::uint16_t frames = 256;
        constexpr std::uint16_t commands = 64;
        return {{.size = frames}, {.size = frames, .output = true}, {.size = commands}};
    }

    /// The address, and whether the link is up (5.1.4).
    [[nodiscard]] std::vector<std::byte> config() const override {
        std::vector<std::byte> space(mac_size + 2);
        std::ranges::transform(state_.mac, space.begin(), [](std::uint8_t byte) { return std::byte{byte}; });
        space[mac_size] = std::byte{backend_->link_up()};
        return space;
    }

    void attached(const DeviceContext& context) override { gate_ = context.gate; }

    [[nodiscard]] awaitable<void> serve(Queue& queue) override {
        if (queue.index() == receive_queue) return receive(queue);
        if (queue.index() == transmit_queue) return transmit(queue);
        return control(queue);
    }

    [[nodiscard]] awaitable<void> run() override {
        bool up = backend_->link_up();
        while (!backend_->closed()) {
            const auto seen = backend_->link_changed().generation();
            if (std::exchange(up, backend_->link_up()) != up) config_changed();
            co_await backend_->link_changed().wait(seen);
        }
    }

    void reset() override { state_.mac = own_mac_; }
    void save(StateWriter& writer) override { save_state(writer, name(), state_); }
    void restore(StateReader& reader) override { restore_state(reader, name(), state_); }

private:
    /// Frames are for the guest as long as its driver serves the card.
    class Keeping {
    public:
        explicit Keeping(NetBackend& backend) : backend_(backend) { backend_.keep_frames(true); }
        Keeping(const Keeping&) = delete;
        Keeping& operator=(const Keeping&) = delete;
        ~Keeping() { backend_.keep_frames(false); }

    private:
        NetBackend& backend_;
    };

    awaitable<void> receive(Queue& queue) {
        const Keeping keeping(*backend_);
        std::vector<Chain> chains;
        for (unsigned frames = 1;; ++frames) {
            co_await backend_->receive();
            std::uint64_t room = 0;
            for (const auto& chain : chains) room += chain.writable_size();
            // A driver that offers small buffers gets a frame in several of them, if it has agreed to that.
            const bool mergeable = negotiated(net_mergeable_buffers);
            while (room < net_header + backend_->front().size() && (chains.empty() || mergeable) &&
                   chains.size() < queue.size()) {
                auto chain = co_await queue.pop();
                room += chain.writable_size();
                chains.push_back(std::move(chain));
            }
            // While this waited the link may have gone, but not what had come.
            const auto frame = backend_->front();
            if (room >= net_header + frame.size()) deliver(queue, chains, frame);
            backend_->pop();
            if (frames % fair_share == 0) {
                const auto executor = co_await asio::this_coro::executor;
                co_await asio::post(executor, use_awaitable);
            }
        }
    }

    static void deliver(Queue& queue, std::vector<Chain>& chains, std::span<const std::byte> frame) {
        std::array<std::byte, net_header> header{};
        std::size_t used = 1;
        for (std::uint64_t room = chains[0].writable_size(); room < net_header + frame.size(); ++used) {
            room += chains[used].writable_size();
        }
        header[buffers_place] = static_cast<std::byte>(used);
        header[buffers_place + 1] = static_cast<std::byte>(used >> 8);
        std::span<const std::byte> head(header);
        for (std::size_t i = 0; i < used; ++i) {
            const auto first = chains[i].write(0, head);
            head = head.subspan(first);
            const auto second = chains[i].write(first, frame);
            frame = frame.subspan(second);
            queue.push(std::move(chains[i]), first + second);
        }
        chains.erase(chains.begin(), chains.begin() + static_cast<std::ptrdiff_t>(used));
    }

    awaitable<void> transmit(Queue& queue) {
        std::vector<std::span<const std::byte>> pieces;
        for (unsigned frames = 1;; ++frames) {
            // Nothing is taken while the machine is paused.
            std::optional<Chain> next;
            if (gate_->is_open()) next = queue.try_pop();
            if (!next) {
                // The kernel gets a batch at once.
                backend_->flush();
                auto chain = co_await queue.pop();
                next.emplace(std::move(chain));
            }
            if (next->readable_size() < net_header) {
                queue.fail("a frame without its header");
                continue;
            }
            if (!backend_->has_room()) {
                backend_->flush();
                co_await backend_->room();
            }
            without_header(*next, pieces);
            (void)backend_->send(pieces);
            queue.push(std::move(*next), 0);
            if (frames % fair_share == 0) {
                backend_->flush();
                const auto executor = co_await asio::this_coro::executor;
                co_await asio::post(executor, use_awaitable);
            }
        }
    }

    static void without_header(const Chain& chain, std::vector<std::span<const std::byte>>& pieces) {
        pieces.clear();
        std::size_t skip = net_header;
        for (const auto buffer : chain.readable()) {
            const auto skipped = std::min(skip, buffer.size());
            skip -= skipped;
            if (skipped < buffer.size()) pieces.push_back(buffer.subspan(skipped));
        }
    }

    awaitable<void> control(Queue& queue) {
        for (;;) {
            auto chain = co_await queue.pop();
            if (chain.writable_size() < 1) {
                queue.fail("a control command without room for its answer");
                continue;
            }
            const std::array answer{obey(chain) ? std::byte{0} : std::byte{1}};
            const auto written = chain.write(0, answer);
            queue.push(std::move(chain), written);
        }
    }

    /// A command of the control queue (5.1.6.5): class, number, and what belongs to them. The card takes all frames in any
    /// case: filters are asked for, and best effort is none.
    bool obey(const Chain& chain) {
        constexpr std::byte filter{0};
        constexpr std::byte last_filter{5};
        constexpr std::byte address{1};
        constexpr std::byte address_table{0};
        constexpr std::byte address_set{1};
        std::array<std::byte, 2 + mac_size> command{};
        const auto size = chain.read(0, command);
        if (size < 3) return false;
        if (command[0] == filter) return command[1] <= last_filter;
        if (command[0] != address) return false;
        if (command[1] == address_table) return true;
        if (command[1] != address_set || size != command.size()) return false;
        for (std::size_t i = 0; i < mac_size; ++i) state_.mac[i] = std::to_integer<std::uint8_t>(command[2 + i]);
        config_changed();
        return true;
    }

    std::shared_ptr<NetBackend> backend_;
    std::shared_ptr<PauseGate> gate_;
    MacAddress own_mac_;
    NetState state_;
};

}  // namespace

std::shared_ptr<Device> make_net(std::shared_ptr<NetBackend> backend, const MacAddress& mac) {
    return std::make_shared<Net>(std::move(backend), mac);
}

}  // namespace asyncvm::virtio
