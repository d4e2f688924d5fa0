/// Where a network card's frames go to and come from: another machine, a switch, passt, an interface of the host.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/event.hpp>
#include <asyncvm/log.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm {

/// An Ethernet address, in the order of the wire.
using MacAddress = std::array<std::uint8_t, 6>;

/// Of network card `index` (0 for the first) where nobody gives one: 52:54:00:12:34:56, and one more for each card, as QEMU
/// counts. The same at each start. Any thread.
[[nodiscard]] MacAddress default_mac(unsigned index) noexcept;

/// Frames shorter than an Ethernet header, and those that QEMU's buffers do not hold, are not sent (bytes).
inline constexpr std::size_t least_frame = 14;
inline constexpr std::size_t most_frame = 69632;

/// The parsed form of the text after `--net`. docs/networks.md says what each option does.
struct NetSpec {
    enum class Kind : std::uint8_t {
        stream_unix,
        stream_tcp,
        dgram_unix,
        tap,
        user,
        vhost_user,  ///< another process serves the whole card: connect_vhost_user() in place of open_net()
    };

    /// A port of the host that leads to one of the guest.
    struct Forward {
        bool udp = false;
        std::string host_address;  ///< empty: all of the host's
        std::uint16_t host_port = 0;
        std::uint16_t guest_port = 0;
        bool operator==(const Forward&) const = default;
    };

    Kind kind = Kind::user;
    /// stream_unix, vhost_user; dgram_unix: where this side receives; tap: the interface, or empty
    std::string path;
    std::string remote;                ///< dgram_unix: where the other side receives
    std::string host;                  ///< stream_tcp: a name or an address without brackets; empty: loopback
    std::uint16_t port = 0;            ///< stream_tcp: 0 lets the kernel pick one, for a server
    bool server = false;               ///< stream: listen, and take one peer after the other
    std::vector<Forward> forwards;     ///< user
    std::optional<MacAddress> mac;     ///< the guest's address; empty: default_mac()
    std::optional<std::uint16_t> mtu;  ///< what the guest is told to take as the longest payload, bytes; empty: it chooses
    std::chrono::milliseconds reconnect{1000};  ///< stream without `server`: from one attempt to the next; more than 0

    bool operator==(const NetSpec&) const = default;
};

inline constexpr std::uint16_t least_mtu = 68;  ///< bytes, IPv4's

/// Parses `stream:unix:PATH`, `stream:tcp:[HOST:]PORT`, `dgram:unix:PATH`, `vhost-user:PATH`, `tap` or `user`, each with
/// `,option[=value]...`. A comma that belongs to a path is doubled. Opens nothing. Any thread. Throws Error(usage); its text
/// says what is wrong and gives an example.
[[nodiscard]] NetSpec parse_net_spec(std::string_view text);

/// What a card or its driver does in place of who makes a frame.
struct NetOffloads {
    bool checksum = false;  ///< a frame's checksum may be left to be filled in
    bool tso4 = false;      ///< and a frame may be a TCP segment that is too long for the wire, over IPv4
    bool tso6 = false;      ///< or over IPv6
    bool ecn = false;       ///< with congestion notifications
    bool operator==(const NetOffloads&) const = default;
};

/// Bytes of the header of virtio (1.2, 5.1.6) before a frame.
inline constexpr std::size_t net_header_size = 12;

/// Ethernet frames, both ways. Device loop, except where a function says otherwise; nothing blocks it.
///
/// Received frames wait in a bounded buffer; when that is full, the peer has to wait, or the kernel drops what comes.
class NetBackend {
public:
    NetBackend() = default;
    NetBackend(const NetBackend&) = delete;
    NetBackend& operator=(const NetBackend&) = delete;
    virtual ~NetBackend() = default;

    /// Whether each frame of front() and of send() has a header of virtio before it, net_header_size bytes, and so may be
    /// one that is not finished yet. Otherwise frames are as on the wire.
    [[nodiscard]] virtual bool has_headers() const noexcept { return false; }
    /// What is left to whoever takes the frames of front(); nothing at the start. With has_headers() only.
    virtual void leave_to_guest([[maybe_unused]] const NetOffloads& offloads) {}

    /// Whether frames that come are kept for front(), or dropped as they come: at the start, and while no driver serves the
    /// card. What front() has goes with `on` false.
    virtual void keep_frames(bool on) = 0;

    /// The oldest frame that has come; empty if there is none. Valid until the caller suspends, or calls pop().
    [[nodiscard]] virtual std::span<const std::byte> front() = 0;
    /// Lets the frame of front() go. While there is one.
    virtual void pop() = 0;
    /// Completes when front() has a frame. Throws std::system_error(operation_aborted) if it is cancelled, or after close().
    [[nodiscard]] awaitable<void> receive();

    /// Takes one frame, which lies in `pieces`, and may keep it until flush(). Returns false if it drops and counts it: no
    /// peer, no room, or a length, without the header, outside least_frame to most_frame.
    virtual bool send(std::span<const std::span<const std::byte>> pieces) = 0;
    /// Gives what send() has kept to the kernel.
    virtual void flush() {}
    /// Whether send() has room for a frame of any length. Where there is no peer it has: such frames are dropped.
    [[nodiscard]] virtual bool has_room() const noexcept { return true; }
    /// Completes when has_room(). Throws as receive() does.
    [[nodiscard]] awaitable<void> room();

    /// Whether the other side is there.
    [[nodiscard]] virtual bool link_up() const noexcept = 0;

    /// Notified when front() or has_room() may say something else.
    [[nodiscard]] Event& changed() noexcept { return changed_; }
    /// Notified when link_up() may say something else.
    [[nodiscard]] Event& link_changed() noexcept { return link_changed_; }

    struct Traffic {
        std::uint64_t sent = 0;      ///< frames from the guest
        std::uint64_t received = 0;  ///< frames for the guest
        std::uint64_t dropped = 0;   ///< frames from the guest that were not sent
    };
    [[nodiscard]] const Traffic& traffic() const noexcept { return traffic_; }

    /// Closes sockets and removes socket files; waits end. Idempotent.
    virtual void close() noexcept = 0;
    [[nodiscard]] virtual bool closed() const noexcept = 0;

    /// For messages: "stream:unix:/tmp/a".
    [[nodiscard]] virtual std::string description() const = 0;

protected:
    Traffic traffic_;

private:
    Event changed_;
    Event link_changed_;
};

/// What a back end gets from the program.
struct NetEnvironment {
    asio::io_context& loop;      ///< the device loop; it outlives the back end's owner
    Log log{};                   ///< is called on the device loop: peers that come and go, errors
    std::string label = "net0";  ///< begins each line on the log
};

/// Opens what `spec` describes and starts its work on the loop. The last owner closes it. On the device loop's thread, or
/// before the loop runs. Throws Error(host) if something can't be opened, with the reason and a remedy in its text, and
/// Error(usage) for a path that is too long for a socket, and for NetSpec::Kind::vhost_user.
[[nodiscard]] std::shared_ptr<NetBackend> open_net(const NetSpec& spec, NetEnvironment environment);

}  // namespace asyncvm
