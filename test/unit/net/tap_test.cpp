// A card on a tap interface of the kernel: who fills in the checksums. In a network of its own, which root can have.
#include "../virtio/mmio_driver.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/virtio_net.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>

using namespace asyncvm;
using namespace asyncvm::virtio;

namespace {

constexpr std::uint64_t checksum = 1, guest_checksum = 2;
constexpr const char* host_address = "10.9.0.1";
constexpr const char* guest_address = "10.9.0.2";
constexpr MacAddress guest_mac{2, 0, 0, 0, 0, 2};
constexpr std::uint16_t host_port = 1234, guest_port = 4321;
constexpr std::size_t udp_checksum_at = 12 + 14 + 20 + 6;

/// This thread's network is another one as long as the object lives.
class OwnNetwork {
public:
    OwnNetwork() : before_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
        usable = before_ >= 0 && ::unshare(CLONE_NEWNET) == 0;
    }
    OwnNetwork(const OwnNetwork&) = delete;
    OwnNetwork& operator=(const OwnNetwork&) = delete;
    ~OwnNetwork() {
        if (usable) BOOST_TEST(::setns(before_, CLONE_NEWNET) == 0);
        ::close(before_);
    }
    bool usable = false;

private:
    int before_;
};

boost::test_tools::assertion_result can_have_a_tap_interface(boost::unit_test::test_unit_id) {
    const OwnNetwork network;
    asio::io_context loop{1};
    try {
        if (network.usable) static_cast<void>(open_net(parse_net_spec("tap"), {.loop = loop}));
    } catch (const Error& error) {
        boost::test_tools::assertion_result result = false;
        result.message() << error.what();
        return result;
    }
    boost::test_tools::assertion_result result = network.usable;
    if (!network.usable) result.message() << "it needs root, for a network of its own";
    return result;
}

sockaddr_in address_of(const char* text, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = ::inet_addr(text);
    return address;
}

struct OnTap : OwnNetwork {
    std::shared_ptr<NetBackend> interface;
    MmioDriver driver;
    int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    OnTap()
        : driver([this](asio::io_context& loop) {
              interface = open_net(parse_net_spec("tap=asyncvm0"), {.loop = loop});
              return make_net(interface, guest_mac);
          }) {
        ifreq request{};
        std::strcpy(request.ifr_name, "asyncvm0");
        auto own = address_of(host_address, 0);
        std::memcpy(&request.ifr_addr, &own, sizeof own);
        BOOST_REQUIRE(::ioctl(socket, SIOCSIFADDR, &request) == 0);
        own = address_of("255.255.255.0", 0);
        std::memcpy(&request.ifr_netmask, &own, sizeof own);
        BOOST_REQUIRE(::ioctl(socket, SIOCSIFNETMASK, &request) == 0);
        request.ifr_flags = IFF_UP | IFF_RUNNING;
        BOOST_REQUIRE(::ioctl(socket, SIOCSIFFLAGS, &request) == 0);
        // So that nobody has to answer questions.
        arpreq neighbour{};
        const auto guest = address_of(guest_address, 0);
        std::memcpy(&neighbour.arp_pa, &guest, sizeof guest);
        std::memcpy(neighbour.arp_ha.sa_data, guest_mac.data(), guest_mac.size());
        neighbour.arp_flags = ATF_COM | ATF_PERM;
        std::strcpy(neighbour.arp_dev, "asyncvm0");
        BOOST_REQUIRE(::ioctl(socket, SIOCSARP, &neighbour) == 0);
        const auto here = address_of(host_address, host_port);
        BOOST_REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&here), sizeof here) == 0);
    }
    ~OnTap() {
        // Before the driver's loop ends.
        interface->close();
        ::close(socket);
    }

    void start(std::uint64_t features) {
        driver.start(feature_version_1 | features, 3);
        for (std::uint16_t i = 0; i < 8; ++i) offer(i);
    }
    void offer(std::uint16_t head) {
        driver.ring(0).offer(head, {{0x10000 + 0x800u * head, 0x800, RingDriver::writes}});
        driver.notify(0);
    }

    template <typename Condition>
    bool eventually(Condition condition) {
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (!condition()) {
            if (std::chrono::steady_clock::now() > until) return false;
            driver.loop.restart();
            driver.loop.run_for(std::chrono::milliseconds(1));
        }
        return true;
    }

    static std::uint32_t sum(std::string_view bytes, std::uint32_t so_far = 0) {
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            so_far += std::uint32_t{static_cast<unsigned char>(bytes[i])} << (i % 2 == 0 ? 8 : 0);
        }
        while (so_far > 0xffff) so_far = (so_far >> 16) + (so_far & 0xffff);
        return so_far;
    }
    static std::string number(std::uint32_t value) { return {static_cast<char>(value >> 8), static_cast<char>(value)}; }
    /// Of the addresses and the length, which a UDP checksum covers too.
    static std::string pseudo_header(std::string_view from, std::string_view to, std::size_t length) {
        return std::string(from) + std::string(to) + number(17) + number(static_cast<std::uint32_t>(length));
    }

    /// A frame of the guest, behind a header that says that the UDP checksum is not finished.
    std::string unfinished(const std::string& payload) const {
        const std::string from("\x0a\x09\x00\x02", 4);
        const std::string to("\x0a\x09\x00\x01", 4);
        const auto length = static_cast<std::uint32_t>(8 + payload.size());
        std::string ip = std::string("\x45\0", 2) + number(20 + length) + std::string("\0\0\0\0\x40\x11\0\0", 8) + from + to;
        ip.replace(10, 2, number(~sum(ip)));
        const std::string udp =
            number(guest_port) + number(host_port) + number(length) + number(sum(pseudo_header(from, to, length)));
        ifreq request{};
        std::strcpy(request.ifr_name, "asyncvm0");
        BOOST_REQUIRE(::ioctl(socket, SIOCGIFHWADDR, &request) == 0);
        const std::string ethernet = std::string(request.ifr_hwaddr.sa_data, 6) +
                                     std::string(reinterpret_cast<const char*>(guest_mac.data()), 6) + number(0x0800);
        const std::string header("\1\0\0\0\0\0\x22\0\6\0\0\0", 12);
        return header + ethernet + ip + udp + payload;
    }
    void transmit(const std::string& bytes) {
        driver.ring(1).put_text(0x20000, bytes);
        driver.ring(1).offer(0, {{0x20000, static_cast<std::uint32_t>(bytes.size())}});
        driver.notify(1);
    }
    /// What has come to the host's socket.
    std::string received() const {
        std::string text(100, '\0');
        const auto got = ::recv(socket, text.data(), text.size(), 0);
        return got < 0 ? std::string() : text.substr(0, static_cast<std::size_t>(got));
    }
    /// The next frame with UDP that the guest gets, behind its header.
    std::string next_frame() {
        std::string frame;
        const bool came = eventually([&] {
            const auto used = driver.ring(0).take_used();
            if (!used) return false;
            frame = driver.ring(0).text_at(0x10000 + 0x800u * used->head, used->written);
            offer(static_cast<std::uint16_t>(used->head));
            return frame.size() > udp_checksum_at + 2 && frame.substr(24, 2) == number(0x0800) && frame[12 + 14 + 9] == 17;
        });
        BOOST_TEST(came);
        return frame;
    }
    void send_to_guest(const std::string& payload) const {
        const auto there = address_of(guest_address, guest_port);
        BOOST_TEST(::sendto(socket, payload.data(), payload.size(), 0, reinterpret_cast<const sockaddr*>(&there),
                            sizeof there) == static_cast<ssize_t>(payload.size()));
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(tap, *boost::unit_test::precondition(can_have_a_tap_interface))

BOOST_AUTO_TEST_CASE(a_driver_leaves_checksums_to_the_kernel_and_the_kernel_to_the_driver) {
    OnTap card;
    card.start(checksum | guest_checksum);
    card.transmit(card.unfinished("a text of the guest"));
    std::string text;
    BOOST_TEST(card.eventually([&] { return !(text = card.received()).empty(); }));
    BOOST_TEST(text == "a text of the guest");
    card.send_to_guest("a text of the host");
    const auto frame = card.next_frame();
    BOOST_TEST(frame.substr(0, 1) == "\1");
    BOOST_TEST(frame.substr(6, 4) == std::string("\x22\0\6\0", 4));
    BOOST_TEST(frame.substr(udp_checksum_at + 2) == "a text of the host");
}

BOOST_AUTO_TEST_CASE(a_driver_that_agrees_to_nothing_gets_finished_frames_and_sends_such) {
    OnTap card;
    card.start(checksum | guest_checksum);
    card.send_to_guest("for the driver before");
    card.start(0);
    card.send_to_guest("a text of the host");
    const auto frame = card.next_frame();
    BOOST_TEST(frame.substr(udp_checksum_at + 2) == "a text of the host");
    BOOST_TEST(frame.substr(0, 12) == std::string("\0\0\0\0\0\0\0\0\0\0\1\0", 12));
    const auto udp = frame.substr(udp_checksum_at - 6);
    const auto pseudo =
        OnTap::pseudo_header(frame.substr(udp_checksum_at - 14, 4), frame.substr(udp_checksum_at - 10, 4), udp.size());
    BOOST_TEST(OnTap::sum(udp, OnTap::sum(pseudo)) == 0xffffu);
    // The kernel drops what is not finished, then takes what is.
    card.transmit(card.unfinished("not finished"));
    auto finished = card.unfinished("finished");
    finished.replace(udp_checksum_at, 2, std::string(2, '\0'));
    BOOST_REQUIRE(card.driver.ring(1).take_used().has_value());
    card.transmit(finished);
    std::string text;
    BOOST_TEST(card.eventually([&] { return !(text = card.received()).empty(); }));
    BOOST_TEST(text == "finished");
}

BOOST_AUTO_TEST_SUITE_END()
