/// The network card (virtio 1.2, 5.1), with the offloads of its back end.
#include <asyncvm/state.hpp>
#include <asyncvm/virtio_net.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace asyncvm::virtio {

namespace {

constexpr std::uint64_t net_checksum = std::uint64_t{1} << 0;
constexpr std::uint64_t net_guest_checksum = std::uint64_t{1} << 1;
constexpr std::uint64_t net_mtu = std::uint64_t{1} << 3;
constexpr std::uint64_t net_mac = std::uint64_t{1} << 5;
constexpr std::uint64_t net_guest_tso4 = std::uint64_t{1} << 7;
constexpr std::uint64_t net_guest_tso6 = std::uint64_t{1} << 8;
constexpr std::uint64_t net_guest_ecn = std::uint64_t{1} << 9;
constexpr std::uint64_t net_host_tso4 = std::uint64_t{1} << 11;
constexpr std::uint64_t net_host_tso6 = std::uint64_t{1} << 12;
constexpr std::uint64_t net_host_ecn = std::uint64_t{1} << 13;
constexpr std::uint64_t net_mergeable_buffers = std::uint64_t{1} << 15;
constexpr std::uint64_t net_status = std::uint64_t{1} << 16;
constexpr std::uint64_t net_control = std::uint64_t{1} << 17;
constexpr std::uint64_t net_control_filter = std::uint64_t{1} << 18;
constexpr std::uint64_t net_control_mac = std::uint64_t{1} << 23;

constexpr unsigned receive_queue = 0;
constexpr unsigned transmit_queue = 1;
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
    Net(std::shared_ptr<NetBackend> backend, const MacAddress& mac, std::optional<std::uint16_t> mtu)
        : backend_(std::move(backend)), own_mac_(mac), mtu_(mtu), state_{mac} {}

    [[nodiscard]] std::string_view name() const noexcept override { return "virtio-net"; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return 1; }
    [[nodiscard]] std::uint64_t features() const override {
        constexpr std::uint64_t always =
            net_mac | net_mergeable_buffers | net_status | net_control | net_control_filter | net_control_mac;
        constexpr std::uint64_t unfinished_frames = net_checksum | net_guest_checksum | net_host_tso4 | net_host_tso6 |
                                                    net_host_ecn | net_guest_tso4 | net_guest_tso6 | net_guest_ecn;
        return always | (backend_->has_headers() ? unfinished_frames : 0) | (mtu_ ? net_mtu : 0);
    }
    [[nodiscard]] std::vector<QueueShape> queues() const override {
        constexpr std::uint16_t frames = 256;
        constexpr std::uint16_t commands = 64;
        return {{.size = frames}, {.size = frames, .output = true}, {.size = commands}};
    }

    /// The address, whether the link is up, how many pairs of queues (which nobody reads), and the MTU (5.1.4).
    [[nodiscard]] std::vector<std::byte> config() const override {
        std::vector<std::byte> space(mac_size + 2);
        std::ranges::transform(state_.mac, space.begin(), [](std::uint8_t byte) { return std::byte{byte}; });
        space[mac_size] = std::byte{backend_->link_up()};
        if (mtu_) {
            for (const unsigned number : {1U, unsigned{*mtu_}}) {
                space.push_back(static_cast<std::byte>(number));
                space.push_back(static_cast<std::byte>(number >> 8));
            }
        }
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
        Keeping(NetBackend& backend, const NetOffloads& offloads) : backend_(backend) {
            backend_.leave_to_guest(offloads);
            backend_.keep_frames(true);
        }
        Keeping(const Keeping&) = delete;
        Keeping& operator=(const Keeping&) = delete;
        ~Keeping() {
            backend_.keep_frames(false);
            backend_.leave_to_guest({});
        }

    private:
        NetBackend& backend_;
    };

    awaitable<void> receive(Queue& queue) {
        const NetOffloads offloads{.checksum = negotiated(net_guest_checksum),
                                   .tso4 = negotiated(net_guest_tso4),
                                   .tso6 = negotiated(net_guest_tso6),
                                   .ecn = negotiated(net_guest_ecn)};
        const Keeping keeping(*backend_, offloads);
        std::vector<Chain> chains;
        for (unsigned frames = 1;; ++frames) {
            co_await backend_->receive();
            std::uint64_t room = 0;
            for (const auto& chain : chains) room += chain.writable_size();
            // A driver that offers small buffers gets a frame in several of them, if it has agreed to that.
            const bool mergeable = negotiated(net_mergeable_buffers);
            while (room < size_for(backend_->front()) && (chains.empty() || mergeable) && chains.size() < queue.size()) {
                auto chain = co_await queue.pop();
                room += chain.writable_size();
                chains.push_back(std::move(chain));
            }
            // While this waited the link may have gone, but not what had come.
            const auto frame = backend_->front();
            if (room >= size_for(frame)) deliver(queue, chains, frame);
            backend_->pop();
            if (frames % fair_share == 0) {
                const auto executor = co_await asio::this_coro::executor;
                co_await asio::post(executor, use_awaitable);
            }
        }
    }

    /// Bytes of the driver's buffers that a frame of the back end takes.
    [[nodiscard]] std::size_t size_for(std::span<const std::byte> frame) const {
        return frame.size() + (backend_->has_headers() ? 0 : net_header_size);
    }

    void deliver(Queue& queue, std::vector<Chain>& chains, std::span<const std::byte> frame) {
        std::array<std::byte, net_header_size> header{};
        std::size_t used = 1;
        for (std::uint64_t room = chains[0].writable_size(); room < size_for(frame); ++used) {
            room += chains[used].writable_size();
        }
        if (backend_->has_headers()) {
            // A driver that takes no checksums has no use for what the kernel knows of them.
            if (negotiated(net_guest_checksum)) std::ranges::copy(frame.first(net_header_size), header.begin());
            frame = frame.subspan(net_header_size);
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
            if (next->readable_size() < net_header_size) {
                queue.fail("a frame without its header");
                continue;
            }
            if (!backend_->has_room()) {
                backend_->flush();
                co_await backend_->room();
            }
            collect(*next, pieces);
            (void)backend_->send(pieces);
            queue.push(std::move(*next), 0);
            if (frames % fair_share == 0) {
                backend_->flush();
                const auto executor = co_await asio::this_coro::executor;
                co_await asio::post(executor, use_awaitable);
            }
        }
    }

    /// The frame as the back end takes it. The header means something if its driver leaves checksums to the card.
    void collect(const Chain& chain, std::vector<std::span<const std::byte>>& pieces) const {
        static constexpr std::array<std::byte, net_header_size> finished{};
        pieces.clear();
        const bool unfinished = backend_->has_headers() && negotiated(net_checksum);
        if (backend_->has_headers() && !unfinished) pieces.emplace_back(finished);
        std::size_t skip = unfinished ? 0 : net_header_size;
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
    std::optional<std::uint16_t> mtu_;
    NetState state_;
};

}  // namespace

std::shared_ptr<Device> make_net(std::shared_ptr<NetBackend> backend, const MacAddress& mac,
                                 std::optional<std::uint16_t> mtu) {
    return std::make_shared<Net>(std::move(backend), mac, mtu);
}

}  // namespace asyncvm::virtio
