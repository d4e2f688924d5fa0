/// NBD servers for tests, and disks on them.
#pragma once

#include <boost/test/unit_test.hpp>

#include "block_fixture.hpp"

#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

namespace asyncvm::test {

using namespace std::chrono_literals;

inline constexpr auto safety = 30s;  ///< never what a test waits for

/// Whether somebody listens there, which is later than that the file is there.
inline bool is_listening(const std::string& socket) {
    const std::string accepts = "00010000";  // __SO_ACCEPTCON
    std::ifstream sockets("/proc/net/unix");
    for (std::string line; std::getline(sockets, line);) {
        if (line.ends_with(" " + socket) && line.find(" " + accepts + " ") != line.npos) return true;
    }
    return false;
}

/// A program that runs until the test ends it.
class Server {
public:
    Server(std::vector<std::string> words, const std::string& socket) {
        std::vector<char*> arguments;
        for (auto& word : words) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        pid_ = ::fork();
        if (pid_ == 0) {
            ::execvp(arguments[0], arguments.data());
            ::_exit(127);
        }
        const auto until = std::chrono::steady_clock::now() + safety;
        while (!is_listening(socket) && std::chrono::steady_clock::now() < until) {
            std::this_thread::sleep_for(1ms);
        }
        BOOST_REQUIRE(is_listening(socket));
    }
    ~Server() { end(); }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    void end() {
        if (pid_ == 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(std::exchange(pid_, 0), nullptr, 0);
    }

private:
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
        std::vector<std::string> command{"nbdkit", "-f", "-U", socket};
        command.insert(command.end(), words.begin(), words.end());
        return command;
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
