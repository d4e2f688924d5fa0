// Debian's kernel with a virtio network card and virtio sockets.
#include "linux_guest.hpp"
#include "neighbour.hpp"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

using namespace linux_test;

namespace {

/// Sends `count` bytes, and checks that the same come back, and nothing else.
void check_echo(Peer peer, std::size_t count) {
    std::string sent(count, '\0');
    for (std::size_t i = 0; i < count; ++i) sent[i] = static_cast<char>(i * 2654435761u >> 13);
    std::thread writer([&] { peer.write(sent); });
    std::string back;
    for (std::string some = "more"; back.size() < count && !some.empty(); back += some) some = peer.read_some();
    writer.join();
    BOOST_TEST(back.size() == count);
    BOOST_TEST((back == sent));
    // Only now: passt was seen to end a connection early, one direction of which had ended while the other was busy.
    peer.half_close();
    BOOST_TEST(peer.read_to_end().empty());
}

/// An interface of the host that leads elsewhere, as passt wants one.
class Elsewhere {
public:
    Elsewhere() : fd_(::open("/dev/net/tun", O_RDWR | O_CLOEXEC)) {
        ifreq request{};
        request.ifr_flags = IFF_TAP | IFF_NO_PI;
        std::strcpy(request.ifr_name, "elsewhere");
        BOOST_REQUIRE(::ioctl(fd_, TUNSETIFF, &request) == 0);
        BOOST_REQUIRE(std::system("busybox ip addr add 10.99.0.1/24 dev elsewhere && busybox ip link set elsewhere up && "
                                  "busybox ip route add default via 10.99.0.254") == 0);
    }
    Elsewhere(const Elsewhere&) = delete;
    Elsewhere& operator=(const Elsewhere&) = delete;
    ~Elsewhere() { ::close(fd_); }

private:
    int fd_;
};

/// A listening socket on the host's loopback.
class Listener {
public:
    explicit Listener(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in here{};
        here.sin_family = AF_INET;
        here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        here.sin_port = htons(port);
        BOOST_REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&here), sizeof here) == 0);
        BOOST_REQUIRE(::listen(fd_, 1) == 0);
    }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    ~Listener() { ::close(fd_); }

    [[nodiscard]] int fd() const { return fd_; }

private:
    int fd_;
};

/// Sends back what comes in the next connection, until its end.
void echo_once(int listener) {
    Peer guest(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    for (std::string some = guest.read_some(); !some.empty(); some = guest.read_some()) guest.write(some);
}

void answer_http_once(int listener, const std::string& body) {
    Peer guest(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    std::string request;
    while (request.find("\r\n\r\n") == std::string::npos) request += guest.read(1);
    BOOST_TEST(request.starts_with("GET /greeting HTTP/1."));
    guest.write("HTTP/1.0 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    guest.half_close();
    BOOST_TEST(guest.read_to_end().empty());
}

boost::test_tools::assertion_result has_passt(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result result = std::system("busybox which passt >/dev/null") == 0;
    if (!result) result.message() << "passt is not installed";
    return result;
}

}  // namespace

BOOST_AUTO_TEST_CASE(linux_has_the_address_of_its_card_and_pings_its_neighbour) {
    const TemporaryDirectory directory;
    const auto path = directory.file("net");
    SerialVm vm("tcp:0", booting("", {"--net", "stream:unix:" + path + ",server,mac=02:00:00:00:00:99"}));
    vm.wait_for_error("net0: listens on");
    Shell shell(vm);
    const Neighbour neighbour(path);
    shell.wait_for("guest# ");
    shell.type(
        "cat /sys/class/net/eth0/address; ip addr add 10.0.0.2/24 dev eth0; ip link set eth0 up; "
        "echo carrier=$(cat /sys/class/net/eth0/carrier)\n");
    shell.wait_for("02:00:00:00:00:99");
    shell.wait_for("carrier=1");
    shell.type("ping -c 3 -s 1400 10.0.0.1\n");
    shell.wait_for("3 packets transmitted, 3 packets received, 0% packet loss");
    BOOST_TEST(neighbour.pings == 3u);
    shell.type("poweroff -f\n");
    vm.check_end(0);
}

BOOST_AUTO_TEST_CASE(a_link_without_a_peer_is_down_until_one_comes) {
    const TemporaryDirectory directory;
    const auto path = directory.file("net");
    SerialVm vm("tcp:0", booting("", {"--net", "stream:unix:" + path + ",server"}));
    Shell shell(vm);
    shell.wait_for("guest# ");
    shell.type("ip link set eth0 up; echo carrier=$(cat /sys/class/net/eth0/carrier)\n");
    shell.wait_for("carrier=0");
    const Neighbour neighbour(path);
    shell.type("until [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do sleep 0.1; done; echo the link is $((0 + 1))\n");
    shell.wait_for("the link is 1");
    shell.type("poweroff -f\n");
    vm.check_end(0);
}

BOOST_AUTO_TEST_CASE(linux_pings_through_a_tap_interface_and_streams_come_back_whole) {
    SerialVm vm("tcp:0", booting("", {"--net", "tap=tap0,mtu=1400"}));
    vm.wait_for_error("net0: tap interface tap0");
    BOOST_REQUIRE(std::system("busybox ip addr add 10.0.0.1/24 dev tap0 && busybox ip link set tap0 up") == 0);
    Shell shell(vm);
    shell.wait_for("guest# ");
    shell.type(
        "ip addr add 10.0.0.2/24 dev eth0; ip link set eth0 up; cat /sys/class/net/eth0/mtu; peer offloads eth0; "
        "ping -c 3 -s 1300 10.0.0.1\n");
    shell.wait_for("1400");
    shell.wait_for("tx-checksum=1 rx-checksum=1 tso=1 on eth0");
    shell.wait_for("3 packets transmitted, 3 packets received, 0% packet loss");
    shell.type("peer echo tcp 7000\n");
    shell.wait_for("tcp 7000 is open");
    check_echo(Peer::connect("tcp:10.0.0.2:7000"), 1 << 20);
    shell.wait_for("echoed 1048576 bytes");
    shell.type("poweroff -f\n");
    vm.check_end(0);
}

BOOST_AUTO_TEST_CASE(linux_has_virtio_sockets_in_both_directions) {
    const TemporaryDirectory directory;
    const auto path = directory.file("vsock");
    SerialVm vm("tcp:0", booting("", {"--vsock", "unix:" + path + ",cid=42"}));
    Shell shell(vm);
    shell.wait_for("guest# ");
    shell.type("ls /sys/bus/virtio/drivers/vmw_vsock_virtio_transport /dev/vsock\n");
    shell.wait_for("virtio0");
    // Nobody listens.
    const int fd = connected(path);
    constexpr std::string_view line = "CONNECT 1234\n";
    BOOST_TEST(::send(fd, line.data(), line.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(line.size()));
    char byte = 0;
    BOOST_TEST(::recv(fd, &byte, 1, 0) == 0);
    ::close(fd);
    shell.type("peer echo vsock 1234\n");
    shell.wait_for("vsock 1234 is open");
    Peer host = Peer::connect("unix:" + path);
    host.write(line);
    std::string answer;
    while (!answer.ends_with('\n')) answer += host.read(1);
    BOOST_TEST(answer.starts_with("OK "));
    check_echo(std::move(host), 1 << 20);
    shell.wait_for("echoed 1048576 bytes");
    // The other way: a port of the host is a socket of its own.
    const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto name = unix_name(path + "_5000");
    BOOST_REQUIRE(::bind(listener, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
    BOOST_REQUIRE(::listen(listener, 1) == 0);
    shell.type("peer send vsock 2 5000 1048576\n");
    echo_once(listener);
    ::close(listener);
    shell.wait_for("1048576 bytes came back, 0 wrong");
    shell.type("poweroff -f\n");
    vm.check_end(0);
}

BOOST_AUTO_TEST_CASE(linux_gets_its_address_by_dhcp_and_reaches_the_host_and_a_port_of_the_host_leads_to_it,
                     *boost::unit_test::precondition(has_passt)) {
    const Elsewhere elsewhere;
    SerialVm vm("tcp:0", booting("", {"--net", "user,hostfwd=tcp::2222-:22"}));
    Shell shell(vm);
    shell.wait_for("guest# ");
    shell.type("ip link set eth0 up; udhcpc -n -q -i eth0 -s /bin/dhcp-answer; ip addr show eth0; ip route\n");
    // The host's own.
    shell.wait_for("DHCP: 10.99.0.1/24, router 10.99.0.254");
    shell.wait_for("inet 10.99.0.1/24");
    shell.wait_for("default via 10.99.0.254 dev eth0");
    shell.type("peer echo tcp 22\n");
    shell.wait_for("tcp 22 is open");
    check_echo(Peer::connect("tcp:127.0.0.1:2222"), 1 << 20);
    shell.wait_for("echoed 1048576 bytes");
    // The router's address is the host's loopback.
    const Listener listener(5001);
    shell.type("peer send tcp 10.99.0.254 5001 1048576\n");
    echo_once(listener.fd());
    shell.wait_for("1048576 bytes came back, 0 wrong");
    shell.type("wget -q -O - http://10.99.0.254:5001/greeting\n");
    answer_http_once(listener.fd(), "the host's web server\n");
    shell.wait_for("the host's web server");
    shell.type("poweroff -f\n");
    vm.check_end(0);
}
