/// A guest with virtio sockets, and programs of the host: what the tests of the device share.
#pragma once

#include "../virtio/mmio_driver.hpp"
#include "vsock/packet.hpp"

#include <asyncvm/vsock.hpp>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>

namespace asyncvm::test {

using namespace virtio;
using vsock::Operation;
using vsock::Packet;

inline constexpr std::uint64_t buffers = 0x10000;
inline constexpr std::uint32_t buffer_size = 0x1000;
inline constexpr std::uint64_t outgoing = 0x20000;
inline constexpr std::uint32_t cid = 5;

inline std::string make_directory() {
    std::string path = "/tmp/asyncvm-vsock-XXXXXX";
    BOOST_REQUIRE(::mkdtemp(path.data()) != nullptr);
    return path;
}

inline sockaddr_un name_of(const std::string& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, path.c_str(), sizeof name.sun_path - 1);
    return name;
}

/// A program's end of a Unix socket.
class Socket {
public:
    explicit Socket(int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) : fd(fd) {}
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket() { ::close(fd); }

    bool connect(const std::string& path) const {
        const auto name = name_of(path);
        return ::connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0;
    }
    void listen(const std::string& path) const {
        const auto name = name_of(path);
        BOOST_REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
        BOOST_REQUIRE(::listen(fd, 8) == 0);
    }
    long send(std::string_view bytes) const { return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
    std::string receive() {
        std::string bytes(1 << 20, '\0');
        const auto got = ::recv(fd, bytes.data(), bytes.size(), 0);
        ended = got == 0 || (got < 0 && errno == ECONNRESET);
        bytes.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
        return bytes;
    }

    int fd;
    bool ended = false;
};

/// A guest with its driver, and the device's directory.
class Guest {
public:
    Guest() {
        driver.start(feature_version_1, 3);
        for (std::uint16_t i = 0; i < 8; ++i) offer(i);
        driver.notify(0);
    }
    ~Guest() {
        driver.device.reset();
        for (const auto* const name : {"/vm", "/vm_52", "/vm_53"}) (void)::unlink((directory + name).c_str());
        (void)::rmdir(directory.c_str());
    }

    [[nodiscard]] std::string path() const { return directory + "/vm"; }

    template <typename Condition>
    bool eventually(Condition condition) {
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (!condition()) {
            if (std::chrono::steady_clock::now() > until) return false;
            driver.loop.restart();
            driver.loop.run_one_for(std::chrono::milliseconds(1));
            collect();
        }
        return true;
    }

    /// The next packet for the guest; an invalid one if none comes.
    Packet receive() {
        if (!eventually([this] { return !packets.empty(); })) return {};
        const auto packet = packets.front().first;
        payload = packets.front().second;
        packets.pop_front();
        return packet;
    }

    void send(Packet packet, std::string_view bytes = {}) {
        packet.source_cid = packet.source_cid == 0 ? cid : packet.source_cid;
        packet.destination_cid = vsock::host_cid;
        packet.buffer = credit;
        packet.forwarded = forwarded;
        packet.length = static_cast<std::uint32_t>(bytes.size());
        send_raw(packet, bytes);
    }
    void send_raw(const Packet& packet, std::string_view bytes) {
        auto& ring = driver.ring(1);
        const auto header = vsock::encode(packet);
        ring.put_text(outgoing, std::string_view(reinterpret_cast<const char*>(header.data()), header.size()));
        if (!bytes.empty()) ring.put_text(outgoing + header.size(), bytes);
        ring.offer(0, {{outgoing, static_cast<std::uint32_t>(header.size() + bytes.size())}});
        driver.notify(1);
        (void)ring.take_used();
    }
    void send(Operation operation, std::uint32_t guest_port, std::uint32_t host_port, std::string_view bytes = {},
              std::uint32_t flags = 0) {
        Packet packet;
        packet.source_port = guest_port;
        packet.destination_port = host_port;
        packet.operation = operation;
        packet.flags = flags;
        send(packet, bytes);
    }

    /// Connects a program to port 80 of the guest and returns the host's port.
    std::uint32_t open(Socket& program) {
        BOOST_REQUIRE(program.connect(path()));
        BOOST_REQUIRE(program.send("CONNECT 80\n") == 11);
        const auto request = receive();
        BOOST_TEST((request.operation == Operation::request));
        BOOST_TEST(request.destination_port == 80u);
        send(Operation::response, 80, request.source_port);
        const auto ok = "OK " + std::to_string(request.source_port) + "\n";
        std::string got;
        BOOST_TEST(eventually([&] { return (got += program.receive()) == ok; }));
        return request.source_port;
    }

    std::string directory = make_directory();
    std::vector<std::string> lines;
    MmioDriver driver{[this](asio::io_context& loop) {
        return make_vsock({.path = path(), .cid = cid}, loop, [this](std::string_view line) { lines.emplace_back(line); });
    }};
    std::string payload;
    std::uint32_t credit = 64 << 10;
    std::uint32_t forwarded = 0;
    std::deque<std::pair<Packet, std::string>> packets;

private:
    void offer(std::uint16_t number) {
        driver.ring(0).offer(number, {{buffers + number * buffer_size, buffer_size, RingDriver::writes}});
    }
    void collect() {
        bool any = false;
        while (const auto used = driver.ring(0).take_used()) {
            const auto place = buffers + used->head * buffer_size;
            const auto text = driver.ring(0).text_at(place, used->written);
            std::array<std::byte, vsock::header_size> header{};
            std::memcpy(header.data(), text.data(), header.size());
            packets.emplace_back(vsock::decode(header), text.substr(header.size()));
            BOOST_TEST(packets.back().first.length == packets.back().second.size());
            BOOST_TEST(packets.back().first.destination_cid == cid);
            offer(static_cast<std::uint16_t>(used->head));
            any = true;
        }
        if (any) driver.notify(0);
    }
};

}  // namespace asyncvm::test
