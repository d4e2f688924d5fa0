// The words after --net.
#define BOOST_TEST_MODULE net_spec
#include "net/passt.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/net.hpp>

#include <boost/test/unit_test.hpp>

using namespace asyncvm;

namespace {

/// Whether the text is refused, in words that contain `part`.
bool refused(std::string_view text, std::string_view part) {
    try {
        static_cast<void>(parse_net_spec(text));
    } catch (const Error& error) {
        if (std::string_view(error.what()).find(part) != std::string_view::npos) return error.kind() == ErrorKind::usage;
        BOOST_TEST_MESSAGE(error.what());
    }
    return false;
}

}  // namespace

BOOST_AUTO_TEST_CASE(stream_sockets) {
    auto spec = parse_net_spec("stream:unix:/tmp/a,,b,server");
    BOOST_TEST((spec.kind == NetSpec::Kind::stream_unix));
    BOOST_TEST(spec.path == "/tmp/a,b");
    BOOST_TEST(spec.server);
    spec = parse_net_spec("stream:tcp:[::1]:4444,reconnect=5,mac=02:00:00:00:00:ff");
    BOOST_TEST((spec.kind == NetSpec::Kind::stream_tcp));
    BOOST_TEST(spec.host == "::1");
    BOOST_TEST(spec.port == 4444);
    BOOST_TEST(!spec.server);
    BOOST_TEST(spec.reconnect.count() == 5000);
    BOOST_TEST((spec.mac == MacAddress{2, 0, 0, 0, 0, 0xff}));
    BOOST_TEST(parse_net_spec("stream:tcp:0,server").port == 0);
}

BOOST_AUTO_TEST_CASE(datagrams_tap_and_user) {
    auto spec = parse_net_spec("dgram:unix:/tmp/a,remote=/tmp/b");
    BOOST_TEST((spec.kind == NetSpec::Kind::dgram_unix));
    BOOST_TEST(spec.path == "/tmp/a");
    BOOST_TEST(spec.remote == "/tmp/b");
    BOOST_TEST((parse_net_spec("tap").kind == NetSpec::Kind::tap));
    BOOST_TEST(parse_net_spec("tap").path.empty());
    BOOST_TEST(parse_net_spec("tap=tap7").path == "tap7");
    spec = parse_net_spec("user,hostfwd=tcp::2222-:22,hostfwd=udp:127.0.0.1:53-:5353");
    BOOST_TEST((spec.kind == NetSpec::Kind::user));
    BOOST_REQUIRE(spec.forwards.size() == 2u);
    BOOST_TEST((spec.forwards[0] == NetSpec::Forward{false, "", 2222, 22}));
    BOOST_TEST((spec.forwards[1] == NetSpec::Forward{true, "127.0.0.1", 53, 5353}));
}

BOOST_AUTO_TEST_CASE(a_card_of_another_process_is_a_socket) {
    const auto spec = parse_net_spec("vhost-user:/tmp/a,mac=02:00:00:00:00:01");
    BOOST_TEST((spec.kind == NetSpec::Kind::vhost_user));
    BOOST_TEST(spec.path == "/tmp/a");
    BOOST_TEST((spec.mac == MacAddress{2, 0, 0, 0, 0, 1}));
    BOOST_TEST(refused("vhost-user:", "the path of the back end's socket is missing"));
    BOOST_TEST(refused("vhost-user:/a,server", "there is no option 'server'; there are mac=, mtu="));
    asio::io_context loop(1);
    BOOST_CHECK_THROW(static_cast<void>(open_net(spec, {.loop = loop})), Error);
}

BOOST_AUTO_TEST_CASE(forwarded_ports_are_passts_options) {
    const auto spec = parse_net_spec("user,hostfwd=tcp::2222-:22,hostfwd=udp:127.0.0.1:53-:5353");
    const std::vector<std::string> expected{"--foreground", "--quiet", "--fd",        "3",
                                            "--tcp-ports",  "2222:22", "--udp-ports", "127.0.0.1/53:5353"};
    const auto arguments = passt_arguments(spec, 3);
    BOOST_TEST(arguments == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_said_with_an_example) {
    BOOST_TEST(refused("", "one of stream:unix:PATH"));
    BOOST_TEST(refused("vde", "one of stream:unix:PATH"));
    BOOST_TEST(refused("users", "one of stream:unix:PATH"));
    BOOST_TEST(refused("stream", "stream goes to unix:PATH or tcp:"));
    BOOST_TEST(refused("stream:unix:", "path is missing"));
    BOOST_TEST(refused("stream:tcp:", "port is missing"));
    BOOST_TEST(refused("stream:tcp:70000", "0 to 65535"));
    BOOST_TEST(refused("stream:tcp:0", "port 0 is for a server"));
    BOOST_TEST(refused("stream:tcp:::1:5", "in brackets"));
    BOOST_TEST(refused("stream:unix:/a,reconnect=0", "from 1 to"));
    BOOST_TEST(refused("stream:unix:/a,server,reconnect=2", "for a client"));
    BOOST_TEST(refused("stream:unix:/a,hostfwd=tcp::1-:1", "server, reconnect=, mac=, mtu="));
    for (const auto* wrong : {"67", "65536", "", "big"}) {
        BOOST_TEST(refused("tap,mtu=" + std::string(wrong), "is not a number of bytes from 68 to 65535"));
    }
    BOOST_TEST(parse_net_spec("user,mtu=65520").mtu.value() == 65520u);
    BOOST_TEST(!parse_net_spec("tap").mtu.has_value());
    BOOST_TEST(refused("stream:unix:/a,", "missing after a comma"));
    BOOST_TEST(refused("dgram:/tmp/a", "from a path to a path"));
    BOOST_TEST(refused("dgram:unix:/tmp/a", "remote= is missing"));
    BOOST_TEST(refused("tap=", "1 to 15 letters"));
    BOOST_TEST(refused("tap=sixteen-letters-", "1 to 15 letters"));
    BOOST_TEST(refused("tap=a/b", "1 to 15 letters"));
    for (const auto* const wrong :
         {"", "1", "52:54:00:12:34:5", "52:54:00:12:34:5g", "52-54-00-12-34-56", "52:54:00:12:34:567"}) {
        BOOST_TEST(refused("user,mac=" + std::string(wrong), "no Ethernet address"));
    }
    BOOST_TEST(refused("user,mac=01:00:00:00:00:00", "address of a group"));
    for (const auto* const wrong : {"", "2222", "tcp:", "tcp::2222", "tcp:2222-22", "sctp::1-:1", "tcp:a b:1-:1"}) {
        BOOST_TEST(refused("user,hostfwd=" + std::string(wrong), "for example hostfwd=tcp::2222-:22"));
    }
    BOOST_TEST(refused("user,hostfwd=tcp::0-:22", "1 to 65535"));
    BOOST_TEST(refused("user,hostfwd=tcp::2222-:", "1 to 65535"));
    BOOST_TEST(refused("user,hostfwd=tcp::2222-10.0.2.15:22", "one address"));
}

BOOST_AUTO_TEST_CASE(each_card_has_an_address_of_its_own_and_always_the_same) {
    BOOST_TEST((default_mac(0) == MacAddress{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}));
    BOOST_TEST((default_mac(1) == MacAddress{0x52, 0x54, 0x00, 0x12, 0x34, 0x57}));
    BOOST_TEST((default_mac(0xaa) == MacAddress{0x52, 0x54, 0x00, 0x12, 0x35, 0x00}));
}
