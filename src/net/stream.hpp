/// Frames over a stream socket: QEMU's `-netdev stream`, passt, another asyncvm.
#pragma once

#include <asyncvm/net.hpp>
#include <net/framing.hpp>
#include <os/put_back.hpp>
#include <os/unique_fd.hpp>
#include <socket/address.hpp>
#include <socket/dialer.hpp>
#include <socket/watched.hpp>

#include <memory>
#include <optional>
#include <string>

namespace asyncvm {

/// One peer at a time. A server takes the next one when it has gone, a client connects again.
///
/// The frames that the guest sends are kept until flush(), so that a batch of them costs one call of the kernel. What the
/// kernel does not take then goes out when it does.
class StreamBackend : public NetBackend, public std::enable_shared_from_this<StreamBackend> {
public:
    /// Listens or connects. Throws as open_net() does.
    StreamBackend(const NetSpec& spec, NetEnvironment environment);
    /// A connected socket; its end is the back end's. `companion` is destroyed when the back end is closed.
    StreamBackend(UniqueFd connected, std::string description, NetEnvironment environment, std::shared_ptr<void> companion);

    /// After the constructor, once.
    void start();

    void keep_frames(bool on) override;
    [[nodiscard]] std::span<const std::byte> front() override { return in_.front(); }
    void pop() override;
    bool send(std::span<const std::span<const std::byte>> pieces) override;
    void flush() override;
    [[nodiscard]] bool has_room() const noexcept override { return !socket_ || out_.has_room(); }
    [[nodiscard]] bool link_up() const noexcept override { return socket_.has_value(); }
    void close() noexcept override;
    [[nodiscard]] bool closed() const noexcept override { return closed_; }
    [[nodiscard]] std::string description() const override { return description_; }

private:
    enum class Told { nothing, connected, failing };

    static awaitable<void> serve(std::shared_ptr<StreamBackend> self);
    /// Accepts or connects. Returns an empty text, or why there is no peer.
    static awaitable<std::string> find_peer(std::shared_ptr<StreamBackend> self, UniqueFd& fd);
    /// Until the connection ends: returns why.
    static awaitable<std::string> read(std::shared_ptr<StreamBackend> self);
    /// Writes what flush() could not, whenever the kernel takes it.
    static awaitable<void> write_rest(std::shared_ptr<StreamBackend> self);
    static awaitable<void> pause(std::shared_ptr<StreamBackend> self);
    [[nodiscard]] bool attach(UniqueFd fd);
    void detach();
    void drop_frames();
    void log(std::string_view text) const;
    void spawn(awaitable<void> work);

    NetEnvironment environment_;
    std::string description_;
    std::chrono::milliseconds reconnect_{};
    std::optional<Dialer> dialer_;
    std::optional<Watched> listener_;
    std::optional<PutBack> file_;  ///< of a listening Unix socket
    UniqueFd given_;               ///< the connected socket, until start()
    std::shared_ptr<void> companion_;

    std::optional<Watched> socket_;
    FrameReader in_;
    FrameWriter out_;
    Event state_;         ///< what the back end's own coroutines wait for
    bool rest_ = false;   ///< the kernel has not taken all of out_
    bool keeps_ = false;  ///< keep_frames()
    bool closed_ = false;
    bool waits_for_room_ = false;  ///< in_ is full
};

}  // namespace asyncvm
