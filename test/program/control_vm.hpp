/// A running program with a control socket, and a client that speaks for itself.
#pragma once

#include "harness.hpp"
#include "small_guests.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace program_test {

/// One connection, which waits for whole lines.
class Peer {
public:
    explicit Peer(int fd) : fd_(fd) { limit(); }
    explicit Peer(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            throw std::runtime_error("no control socket");
        limit();
    }
    ~Peer() { ::close(fd_); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    void say(std::string_view text) const {
        BOOST_TEST(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
    }

    /// The next line without its end; empty at the end of the connection.
    std::string line() {
        for (;;) {
            if (const auto end = received_.find("\r\n"); end != std::string::npos) {
                auto text = received_.substr(0, end);
                received_.erase(0, end + 2);
                return text;
            }
            char buffer[4096];
            const auto got = ::recv(fd_, buffer, sizeof buffer, 0);
            if (got < 0) throw std::runtime_error("waited in vain for a line from the control socket");
            if (got == 0) return {};
            received_.append(buffer, static_cast<std::size_t>(got));
        }
    }
    [[nodiscard]] bool has_nothing() const {
        char byte = 0;
        return received_.empty() && ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
    }
    std::string ask(std::string_view text) {
        say(text);
        return line();
    }
    /// The name of the next event, and whatever is behind it.
    std::string event() {
        const auto text = line();
        const auto at = text.find("\"event\":");
        return at == std::string::npos ? "no event: " + text : text.substr(at + 8);
    }

private:
    void limit() const {
        const timeval time{.tv_sec = patience.count(), .tv_usec = 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    }

    int fd_;
    std::string received_;
};

inline constexpr std::string_view negotiate = R"({"execute":"qmp_capabilities"})";

struct Running : TemporaryDirectory {
    explicit Running(const std::string& guest = spinning_guest, std::vector<std::string> options = {},
                     const std::string& serial = "null") {
        write_file(file("guest"), guest);
        std::vector<std::string> all{"--control", "unix:" + socket, "--serial", serial};
        all.insert(all.end(), options.begin(), options.end());
        all.push_back(file("guest"));
        child = std::make_unique<Child>(asyncvm(all));
        child->wait_for_output("S");
        peer = std::make_unique<Peer>(socket);
        BOOST_TEST(peer->line().starts_with(R"({"QMP":)"));
        BOOST_TEST(peer->ask(negotiate) == R"({"return":{}})");
    }

    std::string socket = file("control");
    std::unique_ptr<Child> child;
    std::unique_ptr<Peer> peer;
};

}  // namespace program_test
