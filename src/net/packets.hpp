/// Frames over a descriptor that gives and takes one a call: a datagram socket, a tap interface.
#pragma once

#include <asyncvm/net.hpp>
#include <os/put_back.hpp>
#include <os/unique_fd.hpp>
#include <socket/address.hpp>
#include <socket/watched.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace asyncvm {

/// The kernel keeps what has come until it is asked for, and drops what it has no room for. A frame that it does not take at
/// once is dropped and counted.
class PacketBackend : public NetBackend, public std::enable_shared_from_this<PacketBackend> {
public:
    /// `to`: where a datagram socket sends; empty for a tap interface. `file`: the socket's file, if any. `headers`: the
    /// kernel has those of virtio before its frames. Throws std::system_error if the loop can't watch the descriptor.
    PacketBackend(UniqueFd fd, std::string description, std::optional<SocketAddress> to,
                  std::shared_ptr<std::optional<PutBack>> file, bool headers, NetEnvironment environment);

    /// After the constructor, once.
    void start();

    [[nodiscard]] bool has_headers() const noexcept override { return header_ > 0; }
    void leave_to_guest(const NetOffloads& offloads) override;
    void keep_frames(bool on) override;
    [[nodiscard]] std::span<const std::byte> front() override;
    void pop() override;
    bool send(std::span<const std::span<const std::byte>> pieces) override;
    [[nodiscard]] bool link_up() const noexcept override { return !closed_; }
    void close() noexcept override;
    [[nodiscard]] bool closed() const noexcept override { return closed_; }
    [[nodiscard]] std::string description() const override { return description_; }

private:
    [[nodiscard]] bool fits(std::size_t length) const noexcept {
        return length >= header_ + least_frame && length <= header_ + most_frame;
    }
    void drop_frames();
    static awaitable<void> watch(std::shared_ptr<PacketBackend> self);

    const std::size_t header_;  ///< bytes before each frame
    NetEnvironment environment_;
    std::string description_;
    Watched descriptor_;
    std::optional<SocketAddress> to_;
    std::shared_ptr<std::optional<PutBack>> file_;
    std::unique_ptr<std::byte[]> frame_ = std::make_unique_for_overwrite<std::byte[]>(header_ + most_frame + 1);
    std::size_t length_ = 0;           ///< of the frame that front() shows; 0: none
    std::vector<std::byte> together_;  ///< a frame whose pieces are too many for one call
    Event state_;
    bool empty_ = true;   ///< the kernel has no frame: the descriptor is watched
    bool keeps_ = false;  ///< keep_frames()
    bool closed_ = false;
};

/// A datagram socket between two paths. Throws Error(host), Error(usage) if a path is too long.
[[nodiscard]] std::shared_ptr<NetBackend> open_datagrams(const NetSpec& spec, NetEnvironment environment);

/// A tap interface, which has to be there already unless the process may make it. Throws Error(host).
[[nodiscard]] std::shared_ptr<NetBackend> open_tap(const NetSpec& spec, NetEnvironment environment);

}  // namespace asyncvm
