#include "vsock/hub.hpp"

#include "socket/address.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

namespace asyncvm::vsock {

Link::Link(asio::io_context& loop, UniqueFd fd) : socket(loop, fd.get()) { (void)fd.release(); }

Hub::Hub(const VsockSpec& spec, asio::io_context& loop, Log log) : loop_(loop), log_(std::move(log)), spec_(spec) {
    UniqueFd fd = listen_unix(spec_.path, file_);
    listener_.emplace(loop_, fd.get());
    (void)fd.release();
}

void Hub::start() {
    log_(fmt::format("vsock: programs reach the guest, cid {}, through unix:{}", spec_.cid, spec_.path));
    spawn(accept(shared_from_this()));
}

void Hub::spawn(awaitable<void> work) {
    asio::co_spawn(loop_, std::move(work), [self = shared_from_this()](const std::exception_ptr& failure) {
        if (!failure || self->closed_) return;
        try {
            std::rethrow_exception(failure);
        } catch (const std::exception& error) {
            self->log_(fmt::format("vsock: {}", error.what()));
        }
    });
}

void Hub::serve(bool on) {
    serving_ = on;
    if (!on) drop_all();
}

void Hub::answer(const Packet& packet) {
    answers_.push_back(packet);
    changed_.notify();
}

void Hub::enqueue(const std::shared_ptr<Link>& link) {
    if (std::exchange(link->queued, true)) return;
    ready_.push_back(link);
    changed_.notify();
}

void Hub::add(const std::shared_ptr<Link>& link) {
    links_[link->stream->ports()] = link;
    spawn(watch_input(shared_from_this(), link));
    spawn(watch_output(shared_from_this(), link));
    settle(link);
}

/// The guest asks for a port of the host.
void Hub::connect(const Packet& request) {
    const auto path = fmt::format("{}_{}", spec_.path, request.destination_port);
    try {
        const auto address = unix_address(path);
        UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        // It never takes time: a listener whose list is full refuses.
        if (links_.size() < most_links && fd.valid() && ::connect(fd.get(), address.get(), address.size) == 0) {
            const auto link = std::make_shared<Link>(loop_, std::move(fd));
            link->stream = Stream::from_guest(request);
            add(link);
            return;
        }
    } catch (const std::exception&) {  // a path that is too long, a loop that can't watch one more: nobody listens
    }
    answer(reset_for(request));
}

bool Hub::take(const virtio::Chain& chain) {
    std::array<std::byte, header_size> header{};
    if (chain.read(0, header) != header_size) return false;
    const auto packet = decode(header);
    if (packet.length > chain.readable_size() - header_size) return false;
    const bool for_us =
        packet.source_cid == spec_.cid && packet.destination_cid == host_cid && packet.type == Packet::stream;
    const auto found = links_.find({.host = packet.destination_port, .guest = packet.source_port});
    if (!for_us || found == links_.end()) {
        if (for_us && packet.operation == Operation::request) {
            connect(packet);
        } else if (packet.operation != Operation::reset) {
            answer(reset_for(packet));
        }
        return true;
    }
    const auto link = found->second;
    // More than the credit ends the stream, however much it is.
    payload_.resize(std::min<std::size_t>(packet.length, std::size_t{Stream::capacity} + 1));
    (void)chain.read(header_size, payload_);
    link->stream->take(packet, payload_);
    settle(link);
    return true;
}

void Hub::write(Link& link) {
    auto& stream = *link.stream;
    if (!link.greeted && stream.phase() == Stream::Phase::open) {
        link.greeted = true;
        const auto ok = fmt::format("OK {}\n", stream.ports().host);
        // Nothing has been sent before: there is room, unless the program has gone.
        (void)::send(link.socket.native_handle(), ok.data(), ok.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    link.blocked = false;
    while (!stream.for_socket().empty()) {
        const auto bytes = stream.for_socket();
        const auto put = ::send(link.socket.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put >= 0) {
            stream.written(static_cast<std::size_t>(put));
        } else if (errno == EAGAIN) {
            link.blocked = true;
            break;
        } else if (errno != EINTR) {
            stream.fail();
        }
    }
    if (stream.phase() == Stream::Phase::open && stream.output_ends() && !std::exchange(link.output_over, true)) {
        (void)::shutdown(link.socket.native_handle(), SHUT_WR);
    }
}

void Hub::settle(const std::shared_ptr<Link>& link) {
    auto& stream = *link->stream;
    if (stream.phase() == Stream::Phase::open) write(*link);
    if (stream.phase() == Stream::Phase::dead) {
        if (const auto last = stream.next_packet()) answer(*last);
        links_.erase(stream.ports());
        shut(*link);
        return;
    }
    if (stream.owes_packet() || (link->readable && stream.room() != 0)) enqueue(link);
    link->changed.notify();
}

std::size_t Hub::put(virtio::Chain& chain, const Packet& packet) {
    const auto header = encode(packet);
    (void)chain.write(0, header);
    return header_size + packet.length;
}

std::size_t Hub::fill(virtio::Chain& chain) {
    if (!answers_.empty()) {
        const auto packet = answers_.front();
        answers_.pop_front();
        changed_.notify();
        return put(chain, packet);
    }
    while (!ready_.empty()) {
        const auto link = ready_.front();
        ready_.pop_front();
        link->queued = false;
        const auto size = link->stream->phase() == Stream::Phase::dead ? 0 : fill_from(link, chain);
        if (size != 0) return size;
    }
    return 0;
}

std::size_t Hub::fill_from(const std::shared_ptr<Link>& link, virtio::Chain& chain) {
    auto& stream = *link->stream;
    if (const auto packet = stream.next_packet()) {
        settle(link);
        return put(chain, *packet);
    }
    if (!link->readable || link->input_over) return 0;
    // Straight into the guest's buffers, behind the header.
    std::vector<iovec> places;
    std::size_t skip = header_size;
    std::size_t room = stream.room();
    for (const auto buffer : chain.writable()) {
        const auto skipped = std::min(skip, buffer.size());
        skip -= skipped;
        const auto place = buffer.subspan(skipped, std::min(buffer.size() - skipped, room));
        room -= place.size();
        if (!place.empty()) places.push_back({place.data(), place.size()});
    }
    if (places.empty()) {
        stream.want_room();
        settle(link);
        return 0;
    }
    constexpr std::size_t most_places = 64;
    const auto got =
        ::readv(link->socket.native_handle(), places.data(), static_cast<int>(std::min(places.size(), most_places)));
    if (got > 0) {
        const auto packet = stream.data(static_cast<std::uint32_t>(got));
        if (stream.room() == 0) stream.want_room();
        settle(link);
        return put(chain, packet);
    }
    if (got == 0) {
        link->input_over = true;
        pollfd entry{link->socket.native_handle(), 0, 0};
        stream.input_ended(::poll(&entry, 1, 0) == 1 && (entry.revents & POLLHUP) != 0);
    } else if (errno == EAGAIN) {
        link->readable = false;
    } else if (errno != EINTR) {
        stream.fail();
    }
    settle(link);
    return 0;
}

void Hub::shut(Link& link) noexcept {
    std::error_code ignored;
    (void)link.socket.close(ignored);
    link.changed.notify();
}

void Hub::drop_all() noexcept {
    for (const auto& [ports, link] : links_) {
        link->stream->fail();
        shut(*link);
    }
    for (const auto& link : greetings_) shut(*link);
    links_.clear();
    greetings_.clear();
    ready_.clear();
    answers_.clear();
    changed_.notify();
}

void Hub::close() noexcept {
    if (std::exchange(closed_, true)) return;
    listener_.reset();
    file_.reset();
    drop_all();
}

}  // namespace asyncvm::vsock
