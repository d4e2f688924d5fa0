#include "net/packets.hpp"

#include "text/errno_text.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>

namespace asyncvm {

PacketBackend::PacketBackend(UniqueFd fd, std::string description, std::optional<SocketAddress> to,
                             std::shared_ptr<std::optional<PutBack>> file, bool headers, NetEnvironment environment)
    : header_(headers ? net_header_size : 0),
      environment_(std::move(environment)),
      description_(std::move(description)),
      descriptor_(environment_.loop, fd.get()),
      to_(to),
      file_(std::move(file)) {
    (void)fd.release();
}

void PacketBackend::start() {
    asio::co_spawn(environment_.loop, watch(shared_from_this()), [](const std::exception_ptr&) {});
}

/// One look at the descriptor for each time that the kernel has run empty.
awaitable<void> PacketBackend::watch(std::shared_ptr<PacketBackend> self) {
    for (;;) {
        const auto seen = self->state_.generation();
        if (self->closed_) co_return;
        if (!self->empty_) {
            co_await self->state_.wait(seen);
            continue;
        }
        co_await wait_for(self->descriptor_, Watched::wait_read);
        self->empty_ = false;
        if (self->keeps_) {
            self->changed().notify();
        } else {
            self->drop_frames();
        }
    }
}

void PacketBackend::keep_frames(bool on) {
    keeps_ = on;
    if (!on) drop_frames();
}

void PacketBackend::leave_to_guest(const NetOffloads& offloads) {
    if (header_ == 0 || closed_) return;
    unsigned bits = 0;
    if (offloads.checksum) bits |= TUN_F_CSUM;
    if (offloads.checksum && offloads.tso4) bits |= TUN_F_TSO4;
    if (offloads.checksum && offloads.tso6) bits |= TUN_F_TSO6;
    if ((bits & (TUN_F_TSO4 | TUN_F_TSO6)) != 0 && offloads.ecn) bits |= TUN_F_TSO_ECN;
    if (::ioctl(descriptor_.native_handle(), TUNSETOFFLOAD, bits) != 0) {
        environment_.log(fmt::format("{}: the tap interface keeps its offloads: {}", environment_.label, reason(errno)));
    }
    // What waits was made for others.
    drop_frames();
}

/// At most so many that the loop's other work does not wait for long.
void PacketBackend::drop_frames() {
    constexpr unsigned most = 1024;
    for (unsigned i = 0; i < most && !front().empty(); ++i) length_ = 0;
    length_ = 0;
    empty_ = true;
    state_.notify();
}

std::span<const std::byte> PacketBackend::front() {
    while (length_ == 0 && !empty_ && !closed_) {
        const auto got = ::read(descriptor_.native_handle(), frame_.get(), header_ + most_frame + 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            empty_ = true;
            state_.notify();
        } else if (fits(static_cast<std::size_t>(got))) {
            length_ = static_cast<std::size_t>(got);
        }
    }
    return {frame_.get(), length_};
}

void PacketBackend::pop() {
    length_ = 0;
    ++traffic_.received;
}

bool PacketBackend::send(std::span<const std::span<const std::byte>> pieces) {
    constexpr std::size_t most_pieces = 64;
    std::array<iovec, most_pieces> vector;
    std::size_t length = 0;
    for (const auto& piece : pieces) length += piece.size();
    std::size_t count = 0;
    if (pieces.size() > most_pieces && fits(length)) {
        together_.clear();
        for (const auto& piece : pieces) together_.insert(together_.end(), piece.begin(), piece.end());
        vector[count++] = {together_.data(), together_.size()};
    } else if (pieces.size() <= most_pieces) {
        // The kernel only reads it.
        for (const auto& piece : pieces) vector[count++] = {const_cast<std::byte*>(piece.data()), piece.size()};
    }
    ssize_t put = -1;
    if (!closed_ && fits(length)) {
        if (to_) {
            msghdr message{};
            message.msg_name = &to_->storage;
            message.msg_namelen = to_->size;
            message.msg_iov = vector.data();
            message.msg_iovlen = count;
            put = ::sendmsg(descriptor_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        } else {
            put = ::writev(descriptor_.native_handle(), vector.data(), static_cast<int>(count));
        }
    }
    ++(put < 0 ? traffic_.dropped : traffic_.sent);
    return put >= 0;
}

void PacketBackend::close() noexcept {
    if (std::exchange(closed_, true)) return;
    std::error_code ignored;
    (void)descriptor_.close(ignored);
    if (file_) file_->reset();
    state_.notify();
    changed().notify();
    link_changed().notify();
}

std::shared_ptr<NetBackend> open_datagrams(const NetSpec& spec, NetEnvironment environment) {
    const auto to = unix_address(spec.remote);
    const auto file = std::make_shared<std::optional<PutBack>>();
    UniqueFd fd = bind_datagrams(spec.path, *file);
    auto backend =
        std::make_shared<PacketBackend>(std::move(fd), "dgram:unix:" + spec.path, to, file, false, std::move(environment));
    backend->start();
    return backend;
}

std::shared_ptr<NetBackend> open_tap(const NetSpec& spec, NetEnvironment environment) {
    UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    ifreq request{};
    request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
    std::memcpy(request.ifr_name, spec.path.c_str(), spec.path.size());
    int header = net_header_size;
    if (!fd.valid() || ::ioctl(fd.get(), TUNSETIFF, &request) != 0 || ::ioctl(fd.get(), TUNSETVNETHDRSZ, &header) != 0 ||
        ::ioctl(fd.get(), TUNSETOFFLOAD, 0) != 0) {
        const int error = errno;
        std::string hint;
        if (error == EPERM || error == EACCES) {
            hint = fmt::format(
                " (root makes an interface for you: ip tuntap add dev {0} mode tap user NAME, then --net tap={0}; "
                "--net user needs no rights)",
                spec.path.empty() ? "tap0" : spec.path);
        } else if (error == EBUSY) {
            hint = " (another program has it: one interface for each machine)";
        } else if (error == ENOENT || error == ENODEV || error == ENXIO) {
            hint = " (root loads the module: modprobe tun; --net user works without)";
        }
        throw Error(ErrorKind::host, fmt::format("cannot open the tap interface{}: {}{}",
                                                 spec.path.empty() ? "" : " " + spec.path, reason(error), hint));
    }
    environment.log(fmt::format("{0}: tap interface {1} (ip link set {1} up, and an address or a bridge, make it useful)",
                                environment.label, request.ifr_name));
    auto backend = std::make_shared<PacketBackend>(std::move(fd), fmt::format("tap={}", request.ifr_name), std::nullopt,
                                                   nullptr, true, std::move(environment));
    backend->start();
    return backend;
}

}  // namespace asyncvm
