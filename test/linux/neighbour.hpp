/// The machine at the other end of a guest's network cable, in the test's process.
#pragma once

#include <boost/test/unit_test.hpp>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace linux_test {

inline sockaddr_un unix_name(const std::string& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, path.c_str(), sizeof name.sun_path - 1);
    return name;
}

/// Connects to a Unix socket that is there already.
inline int connected(const std::string& path) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto name = unix_name(path);
    BOOST_REQUIRE(::connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
    return fd;
}

/// The machine at the other end of the cable: 10.0.0.1 answers ARP and pings.
class Neighbour {
public:
    explicit Neighbour(const std::string& path) : fd_(connected(path)), thread_([this] { serve(); }) {}
    Neighbour(const Neighbour&) = delete;
    Neighbour& operator=(const Neighbour&) = delete;
    ~Neighbour() {
        (void)::shutdown(fd_, SHUT_RDWR);
        thread_.join();
        ::close(fd_);
    }

    std::atomic<unsigned> pings = 0;

private:
    static constexpr std::array<unsigned char, 6> own_mac{2, 0, 0, 0, 0, 1};
    static constexpr std::array<unsigned char, 4> own_address{10, 0, 0, 1};

    bool read(unsigned char* to, std::size_t size) const {
        while (size > 0) {
            const auto got = ::recv(fd_, to, size, 0);
            if (got <= 0) return false;
            to += got;
            size -= static_cast<std::size_t>(got);
        }
        return true;
    }
    void serve() {
        std::array<unsigned char, 4> head{};
        std::vector<unsigned char> frame;
        while (read(head.data(), head.size())) {
            frame.resize(std::size_t{head[0]} << 24 | std::size_t{head[1]} << 16 | std::size_t{head[2]} << 8 | head[3]);
            if (!read(frame.data(), frame.size()) || frame.size() < 42) continue;
            if (!answer(frame)) continue;
            (void)::send(fd_, head.data(), head.size(), MSG_NOSIGNAL);
            (void)::send(fd_, frame.data(), frame.size(), MSG_NOSIGNAL);
        }
    }
    /// Makes the answer of a question; false if it is none.
    bool answer(std::vector<unsigned char>& frame) {
        const auto at = [&frame](std::size_t place) { return frame.begin() + static_cast<std::ptrdiff_t>(place); };
        if (frame[12] == 8 && frame[13] == 6 && frame[21] == 1 &&
            std::equal(own_address.begin(), own_address.end(), at(38))) {
            frame[21] = 2;
            std::copy_n(at(22), 10, at(32));
            std::ranges::copy(own_mac, at(22));
            std::ranges::copy(own_address, at(28));
        } else if (frame[12] == 8 && frame[13] == 0 && frame[23] == 1 && frame[34] == 8) {
            ++pings;
            frame[34] = 0;
            // The checksum is of one's complement: 0x0800 less in the sum is 0x0800 more here.
            std::uint32_t sum = (std::uint32_t{frame[36]} << 8 | frame[37]) + 0x0800;
            sum = (sum & 0xffff) + (sum >> 16);
            frame[36] = static_cast<unsigned char>(sum >> 8);
            frame[37] = static_cast<unsigned char>(sum);
            std::swap_ranges(at(26), at(30), at(30));
        } else {
            return false;
        }
        std::copy_n(at(6), 6, at(0));
        std::ranges::copy(own_mac, at(6));
        return true;
    }

    int fd_;
    std::thread thread_;
};

}  // namespace linux_test
