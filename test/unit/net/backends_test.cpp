// Back ends in pairs, and the mistakes of peers.
#define BOOST_TEST_MODULE net_backends
#include "net_fixture.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <asio/use_future.hpp>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

/// A peer without an asyncvm: a Unix stream socket that is used by hand.
class Peer {
public:
    explicit Peer(const std::string& path) : fd_(unix_socket(SOCK_STREAM)) {
        const auto name = unix_name(path);
        BOOST_REQUIRE(::connect(fd_, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
    }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;
    ~Peer() { ::close(fd_); }

    long send(std::string_view bytes) { return ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
    /// What is there now, at most `size` bytes.
    std::string receive(std::size_t size) {
        std::string bytes(size, '\0');
        const auto got = ::recv(fd_, bytes.data(), size, 0);
        bytes.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
        ended = got == 0;
        return bytes;
    }
    bool ended = false;

private:
    int fd_;
};

std::string wire(const Frame& frame) {
    std::string text;
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(frame.size() >> shift);
    for (const auto byte : frame) text += static_cast<char>(byte);
    return text;
}

void exchange(NetFixture& net, NetBackend& one, NetBackend& other) {
    for (unsigned i = 0; i < 50; ++i) {
        const auto there = frame_of(14 + 91 * i, i);
        const auto back = frame_of(60 + i, i + 100);
        BOOST_TEST(NetFixture::send(one, there));
        BOOST_TEST(NetFixture::send(other, back));
        one.flush();
        other.flush();
        BOOST_TEST((net.receive(other) == there));
        BOOST_TEST((net.receive(one) == back));
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(two_on_a_unix_socket_exchange_frames) {
    NetFixture net;
    const auto path = net.directory.file("net");
    const auto server = net.open("stream:unix:" + path + ",server");
    const auto client = net.open("stream:unix:" + path);
    BOOST_TEST(!server->link_up());
    BOOST_TEST(net.eventually([&] { return server->link_up() && client->link_up(); }));
    exchange(net, *server, *client);
    BOOST_TEST(server->traffic().sent == 50u);
    BOOST_TEST(server->traffic().received == 50u);
    BOOST_TEST(server->traffic().dropped == 0u);
    BOOST_TEST(net.count("net0: a peer is connected on stream:unix:" + path) == 2u);
}

BOOST_AUTO_TEST_CASE(two_on_tcp_exchange_frames) {
    NetFixture net;
    const auto server = net.open("stream:tcp:0,server");
    const auto where = server->description();
    BOOST_TEST(where.starts_with("stream:tcp:127.0.0.1:"));
    const auto client = net.open(where);
    BOOST_TEST(net.eventually([&] { return server->link_up() && client->link_up(); }));
    exchange(net, *server, *client);
}

BOOST_AUTO_TEST_CASE(two_on_datagrams_exchange_frames) {
    NetFixture net;
    const auto a = net.directory.file("a");
    const auto b = net.directory.file("b");
    const auto one = net.open("dgram:unix:" + a + ",remote=" + b);
    // Nobody is there yet: the frame is dropped, and the next one arrives.
    BOOST_TEST(!NetFixture::send(*one, frame_of(60, 1)));
    BOOST_TEST(one->traffic().dropped == 1u);
    const auto other = net.open("dgram:unix:" + b + ",remote=" + a);
    exchange(net, *one, *other);
}

BOOST_AUTO_TEST_CASE(a_datagram_has_the_bare_frame_and_wrong_lengths_are_not_taken) {
    NetFixture net;
    const auto a = net.directory.file("a");
    const auto b = net.directory.file("b");
    const auto backend = net.open("dgram:unix:" + a + ",remote=" + b);
    const int peer = unix_socket(SOCK_DGRAM);
    const auto own = unix_name(b);
    const auto to = unix_name(a);
    BOOST_REQUIRE(::bind(peer, reinterpret_cast<const sockaddr*>(&own), sizeof own) == 0);
    const auto frame = frame_of(100, 5);
    for (const auto& sent : {frame_of(13, 1), frame_of(most_frame + 1, 2), frame}) {
        BOOST_REQUIRE(::sendto(peer, sent.data(), sent.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to) > 0);
    }
    BOOST_TEST((net.receive(*backend) == frame));
    BOOST_TEST(!NetFixture::send(*backend, frame_of(13, 1)));
    BOOST_TEST(!NetFixture::send(*backend, frame_of(most_frame + 1, 1)));
    // More pieces than one call of the kernel has room for.
    std::vector<std::span<const std::byte>> pieces;
    for (std::size_t i = 0; i < frame.size(); ++i) pieces.emplace_back(frame.data() + i, 1);
    BOOST_TEST(backend->send(pieces));
    Frame got(200);
    const auto length = ::recv(peer, got.data(), got.size(), 0);
    got.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
    BOOST_TEST((got == frame));
    ::close(peer);
}

BOOST_AUTO_TEST_CASE(the_stream_is_a_length_and_the_frame_in_any_portions) {
    NetFixture net;
    const auto path = net.directory.file("net");
    const auto backend = net.open("stream:unix:" + path + ",server");
    Peer peer(path);
    BOOST_REQUIRE(net.eventually([&] { return backend->link_up(); }));
    const auto frame = frame_of(80, 9);
    const auto bytes = wire(frame);
    for (const char byte : bytes) {
        BOOST_TEST(backend->front().empty());
        BOOST_REQUIRE(peer.send({&byte, 1}) == 1);
        net.loop.poll();
    }
    BOOST_TEST((net.receive(*backend) == frame));
    BOOST_TEST(NetFixture::send(*backend, frame));
    BOOST_TEST(peer.receive(1000).empty());
    backend->flush();
    BOOST_TEST(peer.receive(1000) == bytes);
}

BOOST_AUTO_TEST_CASE(a_wrong_length_ends_the_connection_with_one_line_and_the_next_peer_is_served) {
    NetFixture net;
    const auto path = net.directory.file("net");
    const auto backend = net.open("stream:unix:" + path + ",server");
    const auto frame = frame_of(80, 9);
    {
        Peer peer(path);
        Peer next(path);
        BOOST_REQUIRE(peer.send(wire(frame) + std::string(4, '\0') + "garbage") > 0);
        BOOST_TEST(
            net.logged("the peer on stream:unix:" + path + " is gone: a frame of 0 bytes can't be (14 to 69632 can)"));
        BOOST_TEST(net.count("is gone") == 1u);
        BOOST_TEST(net.eventually([&] { return peer.receive(1).empty() && (peer.ended || errno == ECONNRESET); }));
        BOOST_TEST((net.receive(*backend) == frame));
        BOOST_REQUIRE(next.send(wire(frame_of(70, 2))) > 0);
        BOOST_TEST((net.receive(*backend) == frame_of(70, 2)));
    }
    BOOST_TEST(net.eventually([&] { return net.count("it has closed the connection") == 1; }));
    BOOST_TEST(!backend->link_up());
}

BOOST_AUTO_TEST_CASE(without_a_peer_and_with_wrong_lengths_frames_are_dropped_and_counted) {
    NetFixture net;
    const auto path = net.directory.file("net");
    const auto backend = net.open("stream:unix:" + path + ",server");
    BOOST_TEST(backend->has_room());
    BOOST_TEST(!NetFixture::send(*backend, frame_of(60, 1)));
    Peer peer(path);
    BOOST_REQUIRE(net.eventually([&] { return backend->link_up(); }));
    BOOST_TEST(!NetFixture::send(*backend, frame_of(13, 1)));
    BOOST_TEST(!NetFixture::send(*backend, frame_of(most_frame + 1, 1)));
    BOOST_TEST(backend->traffic().dropped == 3u);
    BOOST_TEST(backend->traffic().sent == 0u);
}

BOOST_AUTO_TEST_CASE(frames_go_while_nobody_keeps_them) {
    NetFixture net;
    const auto a = net.directory.file("a");
    const auto b = net.directory.file("b");
    const auto path = net.directory.file("net");
    const std::array pairs{
        std::pair{net.open("stream:unix:" + path + ",server"), net.open("stream:unix:" + path)},
        std::pair{net.open("dgram:unix:" + a + ",remote=" + b), net.open("dgram:unix:" + b + ",remote=" + a)}};
    for (const auto& [one, other] : pairs) {
        BOOST_REQUIRE(net.eventually([&, &sender = one, &taker = other] { return sender->link_up() && taker->link_up(); }));
        const auto send = [&, &sender = one](unsigned number) {
            NetFixture::send(*sender, frame_of(60, number));
            sender->flush();
            net.loop.poll();
        };
        other->keep_frames(false);
        send(1);
        other->keep_frames(true);
        send(2);
        BOOST_TEST((net.receive(*other) == frame_of(60, 2)));
        // What has come and was not taken goes as well.
        send(3);
        other->keep_frames(false);
        other->keep_frames(true);
        send(4);
        BOOST_TEST((net.receive(*other) == frame_of(60, 4)));
    }
}

BOOST_AUTO_TEST_CASE(a_slow_peer_bounds_the_buffer_and_gets_all_that_was_taken) {
    NetFixture net;
    const auto path = net.directory.file("net");
    const auto backend = net.open("stream:unix:" + path + ",server");
    Peer peer(path);
    BOOST_REQUIRE(net.eventually([&] { return backend->link_up(); }));
    std::string expected;
    unsigned number = 0;
    while (backend->has_room()) {
        const auto frame = frame_of(9000, number++);
        BOOST_REQUIRE(NetFixture::send(*backend, frame));
        expected += wire(frame);
        backend->flush();
        BOOST_REQUIRE(number < 10000);
    }
    while (NetFixture::send(*backend, frame_of(9000, number))) expected += wire(frame_of(9000, number++));
    BOOST_TEST(backend->traffic().dropped == 1u);
    bool room = false;
    asio::co_spawn(net.loop, backend->room(), [&room](const std::exception_ptr& failure) { room = !failure; });
    net.loop.poll();
    BOOST_TEST(!room);
    std::string got;
    BOOST_TEST(net.eventually([&] {
        got += peer.receive(100'000);
        return got.size() >= expected.size();
    }));
    BOOST_TEST((got == expected));
    BOOST_TEST(net.eventually([&] { return room; }));
}

BOOST_AUTO_TEST_CASE(frames_that_nobody_takes_are_not_read_without_bounds) {
    NetFixture net;
    const auto path = net.directory.file("net");
    const auto backend = net.open("stream:unix:" + path + ",server");
    Peer peer(path);
    unsigned sent = 0;
    unsigned refused = 0;
    // Until the buffers of both sides are full.
    while (refused < 50) {
        const bool taken = peer.send(wire(frame_of(996, sent))) == 1000;
        sent += taken ? 1U : 0U;
        refused += taken ? 0U : 1U;
        net.loop.poll();
        BOOST_REQUIRE(sent < 100'000);
    }
    for (unsigned i = 0; i < sent; ++i) {
        if (net.receive(*backend) != frame_of(996, i)) BOOST_FAIL("frame " << i << " is another one");
    }
}

BOOST_AUTO_TEST_CASE(a_client_connects_when_its_server_comes_and_again_when_it_comes_back) {
    NetFixture net;
    const auto path = net.directory.file("net");
    const auto client = net.open("stream:unix:" + path + ",reconnect=1");
    BOOST_TEST(net.logged("net0: no peer on stream:unix:" + path + ": no such file or directory (tried again every 1 s)"));
    auto server = net.open("stream:unix:" + path + ",server");
    BOOST_TEST(net.eventually([&] { return client->link_up(); }));
    server.reset();
    BOOST_TEST(net.eventually([&] { return !client->link_up(); }));
    BOOST_TEST(::access(path.c_str(), F_OK) != 0);
    server = net.open("stream:unix:" + path + ",server");
    BOOST_TEST(net.eventually([&] { return client->link_up() && server->link_up(); }));
    exchange(net, *server, *client);
    BOOST_TEST(net.count("no peer") == 1u);
}

BOOST_AUTO_TEST_CASE(a_wait_ends_with_a_frame_or_with_the_back_end) {
    NetFixture net;
    const auto path = net.directory.file("net");
    const auto server = net.open("stream:unix:" + path + ",server");
    const auto client = net.open("stream:unix:" + path);
    const auto waited = std::make_shared<Waited>(Waited::no);
    asio::co_spawn(net.loop, wait_for_frame(server, waited), asio::use_future);
    BOOST_TEST(net.eventually([&] { return client->link_up() && server->link_up(); }));
    BOOST_TEST((*waited == Waited::no));
    NetFixture::send(*client, frame_of(60, 1));
    client->flush();
    BOOST_TEST(net.eventually([&] { return *waited == Waited::frame; }));
    BOOST_TEST((net.receive(*server) == frame_of(60, 1)));
    *waited = Waited::no;
    asio::co_spawn(net.loop, wait_for_frame(server, waited), asio::use_future);
    net.loop.poll();
    server->close();
    BOOST_TEST(net.eventually([&] { return *waited == Waited::ended; }));
    // Everything ends with it: the loop has no work left but the client's.
    client->close();
    net.loop.run_for(safety);
    BOOST_TEST(net.loop.stopped());
}

BOOST_AUTO_TEST_CASE(a_loop_may_end_before_its_back_ends) {
    Directory directory;
    std::shared_ptr<NetBackend> kept;
    {
        asio::io_context loop{1};
        kept = open_net(parse_net_spec("stream:unix:" + directory.file("net") + ",server"), {.loop = loop});
        const auto gone = open_net(parse_net_spec("stream:unix:" + directory.file("none")), {.loop = loop});
        loop.poll();
        kept.reset();
    }
}

BOOST_AUTO_TEST_CASE(a_tap_interface_that_cannot_be_had_is_refused_with_what_to_do) {
    NetFixture net;
    std::shared_ptr<NetBackend> tap;
    try {
        tap = net.open("tap=asyncvm-test");
    } catch (const Error& error) {
        BOOST_TEST((error.kind() == ErrorKind::host));
        BOOST_TEST_MESSAGE(error.what());
        const std::string_view what = error.what();
        BOOST_TEST(what.starts_with("cannot open the tap interface asyncvm-test: "));
        BOOST_TEST(what.find("--net user") != what.npos);
        return;
    }
    BOOST_TEST(tap->description() == "tap=asyncvm-test");
    BOOST_TEST(net.logged("tap interface asyncvm-test"));
    // It is down: the kernel takes nothing.
    BOOST_TEST(!NetFixture::send(*tap, frame_of(60, 1)));
    BOOST_TEST(tap->traffic().dropped == 1u);
    BOOST_CHECK_THROW(net.open("tap=asyncvm-test"), Error);
}
