/// The streams of a guest with their sockets.
#pragma once

#include "os/put_back.hpp"
#include "os/unique_fd.hpp"
#include "socket/watched.hpp"
#include "vsock/stream.hpp"

#include <asyncvm/event.hpp>
#include <asyncvm/log.hpp>
#include <asyncvm/virtio_chain.hpp>
#include <asyncvm/vsock.hpp>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace asyncvm::vsock {

/// One socket, and the stream that it belongs to once its program has said which port it wants.
struct Link {
    Link(asio::io_context& loop, UniqueFd fd);

    Watched socket;
    std::optional<Stream> stream;
    Event changed;
    bool greeted = true;       ///< false: "OK" is to be sent when the guest has answered
    bool queued = false;       ///< in Hub::ready_
    bool readable = false;     ///< the socket may have bytes
    bool input_over = false;   ///< and will have no more
    bool blocked = false;      ///< the socket does not take what the stream has for it
    bool output_over = false;  ///< the socket's output has been ended
};

/// Everything between the virtqueues and the sockets. All on the device loop; its coroutines own it until close().
class Hub : public std::enable_shared_from_this<Hub> {
public:
    static constexpr std::size_t most_links = 1024;
    static constexpr std::size_t most_greetings = 64;  ///< sockets whose program has not said yet what it wants

    /// Listens. Throws as make_vsock() does.
    Hub(const VsockSpec& spec, asio::io_context& loop, Log log);

    /// After the constructor, once.
    void start();

    /// Whether the guest's driver is there: without it nobody can connect.
    void serve(bool on);

    /// A packet of the guest, header and payload. Returns false if it has no header, or less payload than that says.
    [[nodiscard]] bool take(const virtio::Chain& chain);
    /// Whether take() may be called: the guest has to take its answers first if there are too many.
    [[nodiscard]] bool takes() const noexcept { return answers_.size() < most_links; }

    /// Whether fill() is likely to find something.
    [[nodiscard]] bool has_packet() const noexcept { return !answers_.empty() || !ready_.empty(); }
    /// Writes a packet for the guest and returns its size in bytes; 0 if there is none after all. `chain` has room for more
    /// than a header.
    [[nodiscard]] std::size_t fill(virtio::Chain& chain);

    /// Notified when takes() or has_packet() may have become true.
    [[nodiscard]] Event& changed() noexcept { return changed_; }

    /// All streams end without a word to the guest.
    void drop_all() noexcept;
    void close() noexcept;

private:
    static awaitable<void> accept(std::shared_ptr<Hub> self);
    /// Reads "CONNECT PORT\n" and asks the guest.
    static awaitable<void> greet(std::shared_ptr<Hub> self, std::shared_ptr<Link> link);
    static awaitable<void> watch_input(std::shared_ptr<Hub> self, std::shared_ptr<Link> link);
    static awaitable<void> watch_output(std::shared_ptr<Hub> self, std::shared_ptr<Link> link);

    void connect(const Packet& request);
    void ask_guest(const std::shared_ptr<Link>& link, std::uint32_t port);
    void add(const std::shared_ptr<Link>& link);
    /// Gives the socket what the stream has for it, and looks what else is to be done after a change.
    void settle(const std::shared_ptr<Link>& link);
    void write(Link& link);
    void enqueue(const std::shared_ptr<Link>& link);
    [[nodiscard]] std::size_t fill_from(const std::shared_ptr<Link>& link, virtio::Chain& chain);
    [[nodiscard]] static std::size_t put(virtio::Chain& chain, const Packet& packet);
    void answer(const Packet& packet);
    void shut(Link& link) noexcept;
    void spawn(awaitable<void> work);

    asio::io_context& loop_;
    Log log_;
    VsockSpec spec_;
    std::optional<PutBack> file_;
    std::optional<Watched> listener_;
    std::set<std::shared_ptr<Link>> greetings_;
    std::map<Ports, std::shared_ptr<Link>> links_;
    std::deque<std::shared_ptr<Link>> ready_;  ///< who has something for the guest
    std::deque<Packet> answers_;               ///< resets that belong to no stream any more
    std::vector<std::byte> payload_;
    Event changed_;
    std::uint32_t next_port_ = first_port;
    bool serving_ = false;
    bool closed_ = false;

    static constexpr std::uint32_t first_port = 0x4000'0000;  ///< of the host's programs, as Firecracker counts
};

}  // namespace asyncvm::vsock
