// The peers of others: passt, and QEMU's stream and datagram sockets. Skipped where they are not installed.
#define BOOST_TEST_MODULE net_peers
#include "net_fixture.hpp"

#include <asyncvm/error.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cstdlib>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

/// A program that the tests start, ended with the object.
class Program {
public:
    explicit Program(std::vector<std::string> words) {
        std::vector<char*> arguments;
        for (auto& word : words) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        if (::posix_spawnp(&pid_, arguments[0], nullptr, nullptr, arguments.data(), environ) != 0) pid_ = -1;
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;
    ~Program() {
        if (pid_ < 0) return;
        (void)::kill(pid_, SIGKILL);
        (void)::waitpid(pid_, nullptr, 0);
    }

private:
    pid_t pid_ = -1;
};

bool installed(const std::string& program) { return std::system(("command -v " + program + " >/dev/null").c_str()) == 0; }

struct Installed {
    std::string program;
    boost::test_tools::assertion_result operator()(boost::unit_test::test_unit_id) const {
        boost::test_tools::assertion_result result(installed(program));
        result.message() << program << " is not installed";
        return result;
    }
};

/// Who has `address`? Asked by 10.0.2.15.
Frame arp_request(std::uint32_t address) {
    Frame frame(42);
    const auto put = [&frame](std::size_t at, std::initializer_list<unsigned> bytes) {
        for (const auto byte : bytes) frame[at++] = static_cast<std::byte>(byte);
    };
    put(0, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1});
    put(22, {0x52, 0x54, 0, 0x12, 0x34, 0x56, 10, 0, 2, 15});
    put(38, {address >> 24, address >> 16 & 0xff, address >> 8 & 0xff, address & 0xff});
    return frame;
}

bool is_arp_reply(std::span<const std::byte> frame) {
    return frame.size() >= 42 && frame[12] == std::byte{8} && frame[13] == std::byte{6} && frame[21] == std::byte{2};
}

/// A QEMU without a guest whose two network back ends are a hub: it forwards frames from one to the other.
std::vector<std::string> hub(const std::string& one, const std::string& other) {
    return {"qemu-system-x86_64",
            "-machine",
            "none",
            "-display",
            "none",
            "-nodefaults",
            "-netdev",
            one,
            "-netdev",
            other,
            "-netdev",
            "hubport,id=h0,hubid=0,netdev=a",
            "-netdev",
            "hubport,id=h1,hubid=0,netdev=b"};
}

}  // namespace

BOOST_AUTO_TEST_CASE(passt_answers_the_guest, *boost::unit_test::precondition(Installed{"passt"})) {
    NetFixture net;
    const auto backend = net.open("user");
    BOOST_TEST(net.logged("passt, process "));
    BOOST_TEST(backend->link_up());
    // passt answers for every address but the guest's own.
    bool answered = false;
    BOOST_TEST(net.eventually([&] {
        NetFixture::send(*backend, arp_request(0x0a000202));
        backend->flush();
        while (!backend->front().empty()) {
            answered = answered || is_arp_reply(backend->front());
            backend->pop();
        }
        return answered || !backend->link_up();
    }));
    BOOST_TEST(answered);
}

BOOST_AUTO_TEST_CASE(passt_ends_with_its_back_end, *boost::unit_test::precondition(Installed{"passt"})) {
    NetFixture net;
    auto backend = net.open("user");
    const auto line = net.lines.at(0);
    const auto number = line.find("process ") + 8;
    const auto pid = static_cast<pid_t>(std::stol(line.substr(number)));
    BOOST_TEST(::kill(pid, 0) == 0);
    backend.reset();
    BOOST_TEST(::kill(pid, 0) == -1);
    BOOST_TEST(errno == ESRCH);
}

BOOST_AUTO_TEST_CASE(without_passt_it_is_said_what_to_install) {
    NetFixture net;
    const std::string path = std::getenv("PATH");
    ::setenv("PATH", "/nonexistent", 1);
    BOOST_CHECK_EXCEPTION(net.open("user"), Error, [](const Error& error) {
        return std::string_view(error.what()).find("Debian has it in the package passt") != std::string_view::npos;
    });
    ::setenv("PATH", path.c_str(), 1);
}

BOOST_AUTO_TEST_CASE(a_passt_that_fails_takes_the_link_down) {
    NetFixture net;
    const auto program = net.directory.file("passt");
    const int fd = ::open(program.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    constexpr std::string_view script = "#!/bin/sh\nexit 1\n";
    BOOST_REQUIRE(::write(fd, script.data(), script.size()) == static_cast<ssize_t>(script.size()));
    ::close(fd);
    const std::string path = std::getenv("PATH");
    ::setenv("PATH", program.substr(0, program.rfind('/')).c_str(), 1);
    const auto backend = net.open("user");
    ::setenv("PATH", path.c_str(), 1);
    BOOST_TEST(net.logged("the peer on user is gone"));
    BOOST_TEST(!backend->link_up());
}

BOOST_AUTO_TEST_CASE(qemu_forwards_frames_between_stream_and_datagrams,
                     *boost::unit_test::precondition(Installed{"qemu-system-x86_64"})) {
    NetFixture net;
    const auto stream = net.directory.file("stream");
    const auto here = net.directory.file("here");
    const auto there = net.directory.file("there");
    const auto one = net.open("stream:unix:" + stream + ",server");
    const auto other = net.open("dgram:unix:" + here + ",remote=" + there);
    const Program qemu(hub("stream,id=a,server=off,addr.type=unix,addr.path=" + stream,
                           "dgram,id=b,local.type=unix,local.path=" + there + ",remote.type=unix,remote.path=" + here));
    BOOST_REQUIRE(net.eventually([&] { return one->link_up() && ::access(there.c_str(), F_OK) == 0; }));
    for (const std::size_t length : {std::size_t{14}, std::size_t{60}, std::size_t{1514}, std::size_t{65536}}) {
        BOOST_TEST(NetFixture::send(*one, frame_of(length, 1)));
        one->flush();
        BOOST_TEST((net.receive(*other) == frame_of(length, 1)));
        BOOST_TEST(NetFixture::send(*other, frame_of(length, 2)));
        BOOST_TEST((net.receive(*one) == frame_of(length, 2)));
    }
}
