/// Network back ends on a loop that the test turns, and what the other side does.
#pragma once

#include <asyncvm/net.hpp>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::test {

inline constexpr std::chrono::seconds safety{20};  ///< a safety net, never what a test waits for

using Frame = std::vector<std::byte>;

/// A frame that can be told from every other.
inline Frame frame_of(std::size_t length, unsigned number) {
    Frame frame(length);
    for (std::size_t i = 0; i < length; ++i) frame[i] = static_cast<std::byte>(i * 13 + number);
    return frame;
}

/// A directory that goes with the object.
class Directory {
public:
    Directory() { BOOST_REQUIRE(::mkdtemp(path_.data()) != nullptr); }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    ~Directory() {
        for (const auto& name : names_) (void)::unlink((path_ + "/" + name).c_str());
        (void)::rmdir(path_.c_str());
    }
    std::string file(const std::string& name) {
        names_.push_back(name);
        return path_ + "/" + name;
    }

private:
    std::string path_ = "/tmp/asyncvm-net-XXXXXX";
    std::vector<std::string> names_;
};

class NetFixture {
public:
    asio::io_context loop{1};
    std::vector<std::string> lines;
    Directory directory;

    std::shared_ptr<NetBackend> open(std::string_view spec) {
        auto backend = open_net(parse_net_spec(spec),
                                {.loop = loop, .log = [this](std::string_view line) { lines.emplace_back(line); }});
        backend->keep_frames(true);
        return backend;
    }

    /// Turns the loop until `condition` holds.
    template <typename Condition>
    bool eventually(Condition condition) {
        const auto until = std::chrono::steady_clock::now() + safety;
        while (!condition()) {
            if (std::chrono::steady_clock::now() > until) return false;
            loop.run_for(std::chrono::milliseconds(1));
            loop.restart();
        }
        return true;
    }
    bool logged(std::string_view part) {
        return eventually([&] { return count(part) > 0; });
    }
    std::size_t count(std::string_view part) const {
        std::size_t n = 0;
        for (const auto& line : lines) n += line.find(part) != line.npos ? 1U : 0U;
        return n;
    }

    static bool send(NetBackend& backend, const Frame& frame) {
        // In two pieces, as a guest has them.
        const std::span<const std::byte> bytes(frame);
        const auto half = frame.size() / 2;
        const std::array pieces{bytes.first(half), bytes.subspan(half)};
        return backend.send(pieces);
    }
    /// The next frame, or an empty one if none comes.
    Frame receive(NetBackend& backend) {
        if (!eventually([&] { return !backend.front().empty(); })) return {};
        const auto bytes = backend.front();
        Frame frame(bytes.begin(), bytes.end());
        backend.pop();
        return frame;
    }
};

/// Waits through receive(): whether it got a frame or was ended.
enum class Waited { no, frame, ended };
inline awaitable<void> wait_for_frame(std::shared_ptr<NetBackend> backend, std::shared_ptr<Waited> waited) {
    try {
        co_await backend->receive();
        *waited = Waited::frame;
    } catch (const std::system_error&) {
        *waited = Waited::ended;
    }
}

inline int unix_socket(int type) { return ::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

inline sockaddr_un unix_name(const std::string& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, path.c_str(), sizeof name.sun_path - 1);
    return name;
}

}  // namespace asyncvm::test
