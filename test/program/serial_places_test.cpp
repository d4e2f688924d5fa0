// Where a serial port can be: ports that are picked or taken, IPv6, unix sockets, two at once, a terminal, a file.
#define BOOST_TEST_MODULE serial_places
#include "harness.hpp"
#include "serial_blocks.hpp"
#include "serial_peer.hpp"
#include "serial_vm.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <csignal>
#include <cstdio>
#include <filesystem>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

bool has_ipv6() {
    const int fd = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_addr = in6addr_loopback;
    const bool has = fd >= 0 && ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    if (fd >= 0) ::close(fd);
    if (!has) {
        std::printf("SKIP: no IPv6 loopback\n");
        std::fflush(stdout);
    }
    return has;
}

}  // namespace

BOOST_AUTO_TEST_CASE(port_0_picks_a_port_and_says_which) {
    SerialVm vm("tcp:0", printing_blocks(1));
    BOOST_TEST(vm.address().starts_with("tcp:127.0.0.1:"), vm.address());
    BOOST_TEST(vm.port() != "0");
    BOOST_TEST(vm.connect().read_to_end() == blocks_text(0, block_size));
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_port_that_is_in_use_is_named_with_what_to_do) {
    const Server taken;
    const auto place = "tcp:127.0.0.1:" + std::to_string(taken.port());
    const auto ended = run_asyncvm({"--serial", place, guest_path("sum")});
    BOOST_TEST(ended.code == 72);
    BOOST_TEST(ended.err.find("cannot listen on " + place + ": address already in use") != std::string::npos, ended.err);
    BOOST_TEST(ended.err.find("port 0") != std::string::npos, ended.err);
}

BOOST_AUTO_TEST_CASE(an_address_that_the_host_does_not_have_is_named_with_what_to_do) {
    const auto ended = run_asyncvm({"--serial", "tcp:192.0.2.1:0", guest_path("sum")});
    BOOST_TEST(ended.code == 72);
    BOOST_TEST(ended.err.find("cannot listen on tcp:192.0.2.1:0") != std::string::npos, ended.err);
    BOOST_TEST(ended.err.find("0.0.0.0") != std::string::npos, ended.err);
}

BOOST_AUTO_TEST_CASE(ipv6_has_brackets) {
    if (!has_ipv6()) return;
    SerialVm vm("tcp:[::1]:0", printing_blocks(2));
    BOOST_TEST(vm.address().starts_with("tcp:[::1]:"), vm.address());
    BOOST_TEST(vm.connect().read_to_end() == blocks_text(0, 2 * block_size));
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_unix_socket_serves_one_client_after_the_other_and_is_removed) {
    TemporaryDirectory directory;
    const auto path = directory.file("socket");
    SerialVm vm("unix:" + path, blocks_on_request());
    BOOST_TEST(vm.address() == "unix:" + path);
    for (std::size_t i = 0; i < 20; ++i) {
        auto client = vm.connect();
        client.write(".");
        BOOST_TEST(client.read(block_size) == blocks_text(i * block_size, block_size));
    }
    auto last = vm.connect();
    last.write("." + std::string(no_more_blocks));
    BOOST_TEST(last.read_to_end() == blocks_text(20 * block_size, block_size));
    last.close();
    vm.check_end();
    BOOST_TEST(!std::filesystem::exists(path));
}

BOOST_AUTO_TEST_CASE(a_client_of_a_unix_socket_that_dies_inside_a_block_leaves_a_gap_at_most) {
    TemporaryDirectory directory;
    SerialVm vm("unix:" + directory.file("socket"), blocks_on_request());
    auto client = vm.connect();
    client.write("12345678");
    const auto head = client.read(3000);
    BOOST_TEST(head == blocks_text(0, head.size()));
    std::size_t had = 0;
    {
        const Frozen frozen(vm);
        had = head.size() + client.unread();
        client.close();
    }
    auto next = vm.connect();
    next.write("9" + std::string(no_more_blocks));
    const auto rest = next.read_to_end();
    const auto start = 9 * block_size - rest.size();
    const auto wrong = difference_from_blocks(rest, start);
    BOOST_TEST(wrong.empty(), wrong);
    BOOST_TEST(start <= had);
    next.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(two_asyncvms_meet_on_a_unix_socket) {
    TemporaryDirectory directory;
    const auto path = directory.file("socket");
    const auto log = directory.file("log");
    // What one prints is the other's input, which comes out again in capitals.
    SerialVm echo("unix:" + path + ",log=" + log, {guest_path("echo")});
    BOOST_TEST(echo.address() == "unix:" + path);
    SerialVm vm("unix:" + path + ",client", printing_blocks(2));
    vm.check_end();
    auto expected = blocks_text(0, 2 * block_size);
    for (auto& letter : expected) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
    echo.wait_until("the echo", [&] { return read_file(log).size() >= expected.size(); });
    BOOST_TEST(read_file(log) == expected);
    echo.send_signal(SIGTERM);
    echo.check_end(128 + SIGTERM);
}

BOOST_AUTO_TEST_CASE(two_serial_ports_are_two_sockets) {
    TemporaryDirectory directory;
    SerialVm vm("tcp:0", {"--serial", "unix:" + directory.file("socket"), "--cpus", "2", guest_path("two-ports")});
    auto one = Peer::connect(vm.address("serial0"));
    auto two = Peer::connect(vm.address("serial1"));
    BOOST_TEST(one.read(20) == "01234567890123456789");
    two.write("?");
    BOOST_TEST(two.read(9) >= "00000014\n");
    two.write("\x04");
    BOOST_TEST(two.read_to_end() == "");
    two.close();
    static_cast<void>(one.read_to_end());
    one.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_process_without_a_terminal_is_told_so) {
    auto command = asyncvm({"--serial", "file:/dev/tty", guest_path("sum")});
    command.insert(command.begin(), {"setsid", "--wait"});
    Child child(command);
    BOOST_TEST(child.wait().code == 72);
    BOOST_TEST(child.err().find("cannot open /dev/tty: this process has no terminal") != std::string::npos, child.err());
}

BOOST_AUTO_TEST_CASE(a_file_gets_everything_and_nobody_waits) {
    TemporaryDirectory directory;
    const auto path = directory.file("out");
    SerialVm vm("file:" + path, printing_blocks(50));
    vm.check_end();
    BOOST_TEST(read_file(path) == blocks_text(0, 50 * block_size));
}

BOOST_AUTO_TEST_CASE(a_guest_that_waits_for_clear_to_send_needs_no_client) {
    const TemporaryDirectory directory;
    const auto guest = directory.file("guest.bin");
    write_file(guest, flow_controlled_guest);
    for (const std::string& spec : {std::string("tcp:0"), "unix:" + directory.file("socket"), std::string("pty")}) {
        const auto ended = run_asyncvm({"--serial", spec + ",linger=0", guest});
        BOOST_TEST(ended.code == 0, spec << ": " << ended.err);
        BOOST_TEST(ended.err.find("1 byte was not delivered") != std::string::npos, ended.err);
    }
}
