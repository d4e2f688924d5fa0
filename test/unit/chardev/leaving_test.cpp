// Peers that leave in every way that a socket knows: what they sent has come, what they had not got goes to the next.
#define BOOST_TEST_MODULE chardev_leaving
#include "chardev_fixture.hpp"
#include "client.hpp"
#include "directory.hpp"
#include "server.hpp"

#include <sys/resource.h>
#include <algorithm>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

std::string client_of(const Server& server, const std::string& options = "") {
    return server.where() + ",client,reconnect=0.01" + options;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_server_that_half_closes_while_output_is_under_way_does_not_make_the_sender_spin) {
    Fixture fixture;
    const Server server;
    const auto serial = fixture.open(client_of(server, ",full=drop"));
    const std::jthread guest([&](const std::stop_token& stop) {
        // Slow enough for the kernel to take all of it: the sender finds nothing to send now and then.
        while (!stop.stop_requested()) {
            put(*serial, "x");
            std::this_thread::sleep_for(1us);
        }
    });
    for (unsigned round = 0; round < 100; ++round) {
        auto peer = server.accept();
        BOOST_TEST(peer.receive(1) == "x");
        peer.deafen();
        fixture.poll(3);
        peer.half_close();
        for (unsigned turn = 0; turn < 20; ++turn) {
            std::promise<void> promise;
            auto answer = promise.get_future();
            asio::post(fixture.loop(), [&promise] { promise.set_value(); });
            BOOST_TEST_REQUIRE(done(answer), "the loop does not answer in round " << round);
        }
        peer.kill();
    }
}

BOOST_AUTO_TEST_CASE(a_server_that_half_closes_and_reads_on_gets_nothing_that_comes_again) {
    Fixture fixture;
    const Server server;
    const auto serial = fixture.open(client_of(server, ",backlog=4M"));
    std::string all;
    for (unsigned i = 0; i < 2000; ++i) all += block(i, 1000);
    BOOST_TEST_REQUIRE(put(*serial, all) == all.size());
    std::string got;
    for (unsigned round = 0; got.size() < all.size() && round < 200; ++round) {
        auto peer = server.accept(4096);
        got += peer.receive(100);
        peer.half_close();
        got += peer.receive_all();
        BOOST_TEST(peer.eof());
        BOOST_TEST_REQUIRE((got == all.substr(0, got.size())), "round " << round << ": wrong after " << got.size());
    }
    BOOST_TEST(got.size() == all.size());
}

BOOST_AUTO_TEST_CASE(a_server_that_ends_its_direction_at_once_gets_what_its_kernel_takes) {
    Fixture fixture;
    const Server server;
    const auto serial = fixture.open(client_of(server));
    std::string all;
    for (unsigned i = 0; i < 1000; ++i) all += block(i, 1000);
    BOOST_TEST_REQUIRE(put(*serial, all) == all.size());
    std::string got;
    for (unsigned round = 0; got.size() < all.size() && round < 100; ++round) {
        auto peer = server.accept();
        peer.half_close();
        got += peer.receive_all();
        BOOST_TEST(peer.eof());
    }
    BOOST_TEST((got == all));
}

BOOST_AUTO_TEST_CASE(a_server_that_half_closes_and_reads_nothing_is_reset_and_gets_nothing_more) {
    Fixture fixture;
    const Server server;
    const auto serial = fixture.open(client_of(server, ",backlog=4M"));
    std::string all;
    for (unsigned i = 0; i < 2000; ++i) all += block(i, 1000);
    BOOST_TEST_REQUIRE(put(*serial, all) == all.size());
    auto first = server.accept(4096);
    BOOST_TEST(first.receive(100) == all.substr(0, 100));
    first.half_close();
    auto second = server.accept();
    auto got = all.substr(0, 100) + first.receive_all();
    BOOST_TEST(!first.eof());  // but a reset: there was more
    const auto next = second.receive(all.size() - got.size());
    BOOST_TEST((got + next == all));
}

BOOST_AUTO_TEST_CASE(output_that_a_unix_client_has_not_read_when_it_shuts_both_directions_is_for_the_next) {
    Fixture fixture;
    const Directory directory;
    const auto serial = fixture.open("unix:" + (directory / "sock"));
    for (unsigned i = 0; i < 10; ++i) {
        Client first(serial->description());
        BOOST_TEST(eventually([&] { return serial->connected(); }));
        first.send("x");
        BOOST_TEST(get(*serial, 1) == "x");
        put(*serial, "Hi");
        BOOST_TEST(eventually([&] { return first.unread() == 2; }));
        ::shutdown(first.fd(), SHUT_RDWR);
        fixture.poll(10);
        first.close();
        Client second(serial->description());
        BOOST_TEST_REQUIRE(second.receive(2) == "Hi");
        second.close();
        BOOST_TEST(eventually([&] { return !serial->connected(); }));
    }
}

BOOST_AUTO_TEST_CASE(output_that_a_unix_client_reads_after_it_has_shut_both_directions_comes_once) {
    Fixture fixture;
    const Directory directory;
    const auto serial = fixture.open("unix:" + (directory / "sock"));
    Client first(serial->description());
    first.send("x");
    BOOST_TEST(get(*serial, 1) == "x");
    put(*serial, "Hi");
    BOOST_TEST(eventually([&] { return first.unread() == 2; }));
    ::shutdown(first.fd(), SHUT_RDWR);
    fixture.poll(10);
    BOOST_TEST(first.receive_all() == "Hi");
    first.close();
    put(*serial, " there");
    Client second(serial->description());
    BOOST_TEST(second.receive(6) == " there");
}

BOOST_AUTO_TEST_CASE(output_that_a_unix_server_has_not_read_when_it_half_closes_is_for_the_next_connection) {
    Fixture fixture;
    const Directory directory;
    const Server server("unix:" + (directory / "sock"));
    const auto serial = fixture.open(client_of(server));
    auto first = server.accept();
    BOOST_TEST(eventually([&] { return serial->connected(); }));
    put(*serial, "Hi");
    BOOST_TEST(eventually([&] { return first.unread() == 2; }));
    first.half_close();
    fixture.poll(10);
    first.close();
    auto second = server.accept();
    BOOST_TEST(second.receive(2) == "Hi");
}

BOOST_AUTO_TEST_CASE(all_input_of_a_unix_client_that_closes_arrives) {
    Fixture fixture;
    const Directory directory;
    const auto serial = fixture.open("unix:" + (directory / "sock"));
    for (const std::size_t size : {10UL, 8193UL, 100'000UL}) {
        const auto text = block(7, size);
        {
            Client client(serial->description());
            client.send(text);
        }
        BOOST_TEST(eventually([&] { return serial->readable() && !serial->connected(); }));
        BOOST_TEST((get(*serial, size) == text), size << " bytes");
    }
}

BOOST_AUTO_TEST_CASE(all_input_of_a_server_that_closes_arrives) {
    const Directory directory;
    for (const auto& where : {std::string("tcp"), "unix:" + (directory / "sock")}) {
        Fixture fixture;
        const Server server(where);
        const auto serial = fixture.open(client_of(server));
        for (const std::size_t size : {10UL, 8193UL, 100'000UL}) {
            const auto text = block(7, size);
            {
                auto peer = server.accept();
                peer.send(text);
            }
            BOOST_TEST((get(*serial, size) == text), where << ": " << size << " bytes");
        }
    }
}

BOOST_AUTO_TEST_CASE(all_input_of_a_client_that_closes_arrives_though_the_guest_prints_meanwhile) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,full=drop");
    const auto text = block(7, 100'000);
    {
        Client client(serial->description());
        client.send(text);
    }
    // What is printed makes the client's host say that nobody is there.
    BOOST_TEST(eventually([&] {
        put(*serial, "x");
        return serial->readable() && !serial->connected();
    }));
    BOOST_TEST((get(*serial, text.size()) == text));
}

BOOST_AUTO_TEST_CASE(the_input_of_a_client_that_is_put_out_comes_before_that_of_the_next) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    const auto text = block(7, 100'000);
    Client first(serial->description());
    first.send(text);
    first.half_close();
    BOOST_TEST(eventually([&] { return serial->readable(); }));
    Client second(serial->description());
    second.send("second");
    BOOST_TEST(first.receive_all().empty());
    put(*serial, "output");
    BOOST_TEST(second.receive(6) == "output");  // though nobody has read the first one's input
    BOOST_TEST((get(*serial, text.size()) == text));
    BOOST_TEST(get(*serial, 6) == "second");
}

BOOST_AUTO_TEST_CASE(input_that_nobody_reads_is_bounded_and_what_is_gone_is_told) {
    Fixture fixture;
    const Directory directory;
    const auto serial = fixture.open("unix:" + (directory / "sock"));
    const auto text = block(7, 150'000);
    for (int i = 0; i < 10; ++i) {
        Client client(serial->description());
        client.send(text);
    }
    BOOST_TEST(!fixture.lines.await("bytes of input are gone").empty());
    // The first ones are there to their last byte.
    for (int i = 0; i < 7; ++i) BOOST_TEST((get(*serial, text.size()) == text));
}

BOOST_AUTO_TEST_CASE(a_connector_without_a_free_descriptor_tries_again) {
    Fixture fixture;
    const Server server;
    fixture.close(fixture.open("tcp:0"));  // so that the loop has what it needs itself
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    auto limit = before;
    std::vector<int> fillers;
    // One number is free for the socket, and none for anything beside it.
    for (int fd = ::dup(0); fd < 200; fd = ::dup(0)) fillers.push_back(fd);
    limit.rlim_cur = 200;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    for (const int spare : {0, 1, 2}) {
        if (spare > 0) {
            ::close(fillers.back());
            fillers.pop_back();
        }
        const auto serial = fixture.open(client_of(server));
        if (spare == 0)
            BOOST_TEST(fixture.lines.await("cannot connect to").find("too many open files") != std::string::npos);
        if (spare > 0) BOOST_TEST(eventually([&] { return serial->connected(); }));
        fixture.close(serial);
    }
    for (const int fd : fillers) ::close(fd);
    ::setrlimit(RLIMIT_NOFILE, &before);
    BOOST_TEST(fixture.lines.count("stopped working") == 0u, fixture.lines.all());
}

BOOST_AUTO_TEST_CASE(a_last_client_that_has_not_read_everything_is_waited_for) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    Client client(serial->description());
    BOOST_TEST(eventually([&] { return serial->connected(); }));
    const auto text = block(1, 60'000);
    put(*serial, text);
    auto drained = fixture.drain(serial);
    BOOST_TEST(!fixture.lines.await("has not read everything yet").empty());
    BOOST_TEST((drained.wait_for(1500ms) == std::future_status::timeout));
    client.send("\n");
    BOOST_TEST((client.receive_all() == text));
    BOOST_TEST(client.eof());
    client.close();
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
}

BOOST_AUTO_TEST_CASE(a_last_client_that_stays_is_told_of_and_linger_bounds_the_wait_for_one_that_reads_nothing) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,linger=0.3");
    Client client(serial->description());
    BOOST_TEST(eventually([&] { return serial->connected(); }));
    put(*serial, block(1, 60'000));
    auto drained = fixture.drain(serial);
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
    BOOST_TEST(fixture.lines.count("has not closed its connection") == 1u);
}
