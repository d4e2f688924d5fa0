/// NBD servers for tests, and disks on them.
#pragma once

#include <boost/test/unit_test.hpp>

#include "block/nbd.hpp"
#include "block_fixture.hpp"

#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace asyncvm::test {

using namespace std::chrono_literals;

inline constexpr auto safety = 30s;  ///< never what a test waits for

/// A program that serves a socket until the test ends it. It gets the socket as a service of systemd does, listening: a
/// client that connects before the program runs waits for it.
class Server {
public:
    Server(const std::vector<std::string>& words, std::string socket) : socket_(std::move(socket)) {
        const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        BOOST_REQUIRE(listener >= 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        BOOST_REQUIRE(socket_.copy(address.sun_path, sizeof address.sun_path - 1) == socket_.size());
        BOOST_REQUIRE(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        BOOST_REQUIRE(::listen(listener, 16) == 0);

        std::vector<std::string> command{"sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"", "sh"};
        command.insert(command.end(), words.begin(), words.end());
        std::vector<char*> arguments;
        for (auto& word : command) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        constexpr int first_passed = 3;
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, listener, first_passed);
        const int error = ::posix_spawn(&pid_, "/bin/sh", &actions, nullptr, arguments.data(), environ);
        ::posix_spawn_file_actions_destroy(&actions);
        ::close(listener);
        BOOST_REQUIRE(error == 0);
    }
    ~Server() { end(); }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Nobody listens any more.
    void end() {
        if (pid_ == 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(std::exchange(pid_, 0), nullptr, 0);
        std::filesystem::remove(socket_);
    }

private:
    const std::string socket_;
    pid_t pid_ = 0;
};

struct NbdFixture : BlockFixture {
    NbdFixture() : socket(path("nbd.sock")) {}

    std::shared_ptr<BlockBackend> open(const std::string& options = "") {
        return open_disk(parse_disk_spec("nbd:unix:" + socket + options), loop, log());
    }
    std::string why_not(const std::string& options = "") {
        return refused([this, &options] { static_cast<void>(open(options)); });
    }
    /// nbdkit serves `words`: a plugin and its arguments, and filters before it.
    std::vector<std::string> nbdkit(std::vector<std::string> words) const {
        std::vector<std::string> command{"nbdkit", "-f"};
        command.insert(command.end(), words.begin(), words.end());
        return command;
    }

    /// Until a request looks for a lost server again.
    void pause_between_attempts() {
        asio::steady_timer timer(loop, block::nbd_attempt_pause);
        timer.async_wait([](std::error_code) {});
        loop.restart();
        loop.run();
    }

    const std::string socket;
};

inline boost::test_tools::assertion_result can_serve(const char* program, const char* package) {
    boost::test_tools::assertion_result result(
        std::system(("command -v " + std::string(program) + " >/dev/null 2>&1").c_str()) == 0);
    result.message() << program << " is not installed (Debian: " << package << ")";
    if (result) {
        const auto message = refused([] {
            asio::io_context loop;
            static_cast<void>(open_disk(parse_disk_spec("nbd:unix:/nonexistent"), loop, Log()));
        });
        if (has(message, "built without libnbd")) {
            result = false;
            result.message() << "; built without libnbd";
        }
    }
    return result;
}

inline auto with_nbdkit() {
    return boost::unit_test::precondition([](auto) { return can_serve("nbdkit", "nbdkit"); });
}
inline auto with_qemu_nbd() {
    return boost::unit_test::precondition([](auto) { return can_serve("qemu-nbd", "qemu-utils"); });
}

}  // namespace asyncvm::test
