#define BOOST_TEST_MODULE chardev_socket
#include "chardev_fixture.hpp"
#include "client.hpp"

#include <asyncvm/error.hpp>

#include <algorithm>
#include <thread>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_AUTO_TEST_CASE(it_says_where_it_listens) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    BOOST_TEST(fixture.lines.await("serial0 listens on tcp:127.0.0.1:") == "serial0 listens on " + serial->description());
}

BOOST_AUTO_TEST_CASE(a_port_in_use_is_refused_with_a_hint) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    const auto where = serial->description();
    BOOST_CHECK_EXCEPTION(fixture.open(where), Error, [&](const Error& error) {
        return error.kind() == ErrorKind::host &&
               std::string(error.what()) == "cannot listen on " + where +
                                                ": address already in use (another asyncvm? take another port, or port 0 to "
                                                "have one picked)";
    });
}

BOOST_AUTO_TEST_CASE(ipv6_and_names_work) {
    Fixture fixture;
    BOOST_TEST(fixture.open("tcp:localhost:0")->description().find("tcp:127.0.0.1:") == 0u);
    BOOST_TEST(fixture.open("tcp:[::1]:0")->description().find("tcp:[::1]:") == 0u);
    BOOST_CHECK_THROW(fixture.open("tcp:192.0.2.1:0"), Error);
}

BOOST_AUTO_TEST_CASE(output_before_the_first_client_is_kept_for_it) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    BOOST_TEST(!serial->connected());
    BOOST_TEST(put(*serial, "early, ") == 7u);
    Client client(serial->description());
    BOOST_TEST(client.receive(7) == "early, ");
    BOOST_TEST(serial->connected());
    put(*serial, "late");
    BOOST_TEST(client.receive(4) == "late");
}

BOOST_AUTO_TEST_CASE(input_reaches_the_device) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    Client client(serial->description());
    client.send("ls\n");
    BOOST_TEST(get(*serial, 3) == "ls\n");
    BOOST_TEST(!serial->readable());
}

BOOST_AUTO_TEST_CASE(input_that_is_not_read_is_held_back_and_not_lost) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    Client client(serial->description());
    constexpr std::size_t size = 8 << 20;  // more than the buffers of both sides
    std::thread typist([&] {
        for (unsigned i = 0; i < size / 1000; ++i) client.send(block(i, 1000));
    });
    std::string all;
    for (unsigned i = 0; i < size / 1000; ++i) {
        const auto text = get(*serial, 1000);
        if (text != block(i, 1000)) {
            BOOST_ERROR("block " << i << " is wrong");
            break;
        }
    }
    typist.join();
}

BOOST_AUTO_TEST_CASE(a_killed_client_loses_only_what_its_kernel_had_acknowledged) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,backlog=16M");
    std::string all;
    for (unsigned i = 0; i < 80'000; ++i) all += block(i);
    BOOST_TEST_REQUIRE(put(*serial, all) == all.size());
    // An acknowledgement that is still delayed goes with the reset, and what it told comes again: a smallest segment at
    // most.
    constexpr std::size_t unacknowledged = 88;
    std::size_t lost_in_kernels = 0;
    std::string got;
    for (int round = 0; round < 5; ++round) {
        Client client(serial->description(), 4096);
        const auto first = client.receive(100);
        // In order and once: what comes is later than what came before.
        const auto at = all.find(first, got.size() - std::min(got.size(), unacknowledged));
        BOOST_TEST_REQUIRE(at != std::string::npos);
        if (at > got.size()) lost_in_kernels += at - got.size();
        got = all.substr(0, at) + first;
        const auto more = client.receive(20'000);
        BOOST_TEST_REQUIRE((more == all.substr(got.size(), more.size())));
        got += more;
        client.kill();
        BOOST_TEST(eventually([&] { return !serial->connected(); }));
    }
    BOOST_TEST(lost_in_kernels < 5u * 64 * 1024);
    Client last(serial->description());
    auto drained = fixture.drain(serial);
    const auto rest = last.receive_all();
    const auto at = all.size() - rest.size();
    BOOST_TEST((rest == all.substr(at)));
    BOOST_TEST(at + unacknowledged >= got.size());
    BOOST_TEST(at < got.size() + 64 * 1024);
    last.close();
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
}

BOOST_AUTO_TEST_CASE(clients_that_leave_between_blocks_lose_and_repeat_nothing) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,backlog=64K");
    constexpr unsigned clients = 200;
    constexpr std::size_t size = 40 << 10;  // 8 MiB in all
    unsigned wrong = 0;
    for (unsigned c = 0; c < clients && wrong == 0; ++c) {
        const auto text = block(c, size);
        std::future<void> written;
        const bool early = c % 2 == 0;
        if (early) written = fixture.write(serial, text);
        Client client(serial->description(), c % 3 == 0 ? 4096 : 0);
        if (!early) written = fixture.write(serial, text);
        if (c % 5 == 0) client.half_close();
        if (client.receive(size) != text) ++wrong;
        if (!done(written)) ++wrong;
        if (c % 7 == 0 && c % 5 != 0) {
            client.acknowledge();
            client.kill();
        }
    }
    BOOST_TEST(wrong == 0u);
    auto drained = fixture.drain(serial);
    BOOST_TEST(done(drained));
}

BOOST_AUTO_TEST_CASE(a_second_client_waits_for_the_first_to_go) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    Client first(serial->description());
    put(*serial, "one");
    BOOST_TEST(first.receive(3) == "one");
    Client second(serial->description());
    put(*serial, "two");
    BOOST_TEST(first.receive(3) == "two");
    first.close();
    BOOST_TEST(second.receive(0).empty());
    // The first may only have half-closed; the second asks for its place.
    BOOST_TEST(eventually([&] {
        second.send("x");
        return serial->readable();
    }));
    put(*serial, "three");
    BOOST_TEST(second.receive(5) == "three");
}

BOOST_AUTO_TEST_CASE(a_client_that_half_closes_keeps_receiving) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    Client client(serial->description());
    client.send("in");
    client.half_close();
    BOOST_TEST(get(*serial, 2) == "in");
    put(*serial, "out");
    BOOST_TEST(client.receive(3) == "out");
    put(*serial, "more");
    BOOST_TEST(client.receive(4) == "more");
    BOOST_TEST(serial->connected());
}

BOOST_AUTO_TEST_CASE(a_half_closed_client_that_has_shown_life_keeps_its_place) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    Client first(serial->description());
    first.send("a");
    first.half_close();
    BOOST_TEST(get(*serial, 1) == "a");
    // The first of these may be on its way before the half-close is seen: only what is sent after that shows life.
    for (int i = 0; i < 2; ++i) {
        put(*serial, "b");
        BOOST_TEST(first.receive(1) == "b");
    }
    Client second(serial->description());
    second.send("x");
    for (int i = 0; i < 50; ++i) {
        put(*serial, "c");
        BOOST_TEST_REQUIRE(first.receive(1) == "c");
    }
    BOOST_TEST(!serial->readable());
    first.close();
    put(*serial, "d");
    BOOST_TEST(second.receive(1) == "d");
    BOOST_TEST(get(*serial, 1) == "x");
}

BOOST_AUTO_TEST_CASE(a_half_closed_client_without_a_sign_of_life_makes_room) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    Client first(serial->description());
    first.send("a");
    first.half_close();
    BOOST_TEST(get(*serial, 1) == "a");
    Client second(serial->description());
    second.send("x");
    BOOST_TEST(get(*serial, 1) == "x");
    BOOST_TEST(first.receive(1).empty());
    BOOST_TEST(first.eof());
}

BOOST_AUTO_TEST_CASE(a_probe_that_connects_and_leaves_eats_nothing) {
    Fixture fixture;
    fixture.patience = 1h;  // however long this thread takes from the connect to the close
    const auto serial = fixture.open("tcp:0");
    put(*serial, "precious");
    for (int i = 0; i < 10; ++i) {
        Client probe(serial->description());
        fixture.poll(10);
        if (i % 2 == 0) probe.kill();
    }
    Client client(serial->description());
    client.send("x");  // so it is no probe
    BOOST_TEST(client.receive(8) == "precious");
}

BOOST_AUTO_TEST_CASE(output_to_a_client_that_has_gone_unnoticed_is_for_the_next) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    {
        Client client(serial->description());
        put(*serial, "seen");
        BOOST_TEST(client.receive(4) == "seen");
    }
    put(*serial, "first ");
    put(*serial, "second");
    BOOST_TEST(eventually([&] { return !serial->connected(); }));
    Client next(serial->description());
    BOOST_TEST(next.receive(12) == "first second");
}

BOOST_AUTO_TEST_CASE(a_slow_client_stalls_only_output) {
    Fixture fixture;
    const auto slow = fixture.open("tcp:0,backlog=4K");
    const auto other = fixture.open("tcp:0");
    Client client(slow->description(), 2048);
    std::string sent;
    while (slow->writable() || !eventually([&] { return !slow->writable(); })) {
        const auto text = block(static_cast<unsigned>(sent.size()));
        sent += text.substr(0, put(*slow, text));
    }
    BOOST_TEST(put(*slow, "x") == 0u);
    client.send("still heard");
    BOOST_TEST(get(*slow, 11) == "still heard");
    Client second(other->description());
    put(*other, "fine");
    BOOST_TEST(second.receive(4) == "fine");
    const auto writable = [&] { return slow->writable(); };
    std::string got;
    while (got.size() < sent.size()) got += client.receive(std::min<std::size_t>(1000, sent.size() - got.size()));
    BOOST_TEST((got == sent));
    BOOST_TEST(eventually(writable));
}

BOOST_AUTO_TEST_CASE(a_full_queue_makes_the_writer_wait) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,backlog=10");
    auto written = fixture.write(serial, "0123456789abcdefghij");
    BOOST_TEST(eventually([&] { return !serial->writable(); }));
    BOOST_TEST((written.wait_for(0s) == std::future_status::timeout));
    Client client(serial->description());
    BOOST_TEST(client.receive(20) == "0123456789abcdefghij");
    BOOST_TEST(done(written));
}

BOOST_AUTO_TEST_CASE(full_drop_keeps_the_newest_and_tells) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,backlog=8,full=drop");
    BOOST_TEST(put(*serial, "0123456789abcdef") == 16u);
    BOOST_TEST(serial->writable());
    Client client(serial->description());
    BOOST_TEST(client.receive(8) == "89abcdef");
    BOOST_TEST(!fixture.lines.await("serial0: 8 bytes of output are gone").empty());
}

BOOST_AUTO_TEST_CASE(history_is_shown_to_every_client) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,history=6");
    put(*serial, "Hello, world");
    {
        Client client(serial->description());
        BOOST_TEST(client.receive(12) == "Hello, world");
        client.acknowledge();
        client.kill();
    }
    BOOST_TEST(eventually([&] { return !serial->connected(); }));
    put(*serial, "!");
    Client next(serial->description());
    BOOST_TEST(next.receive(7) == " world!");
}

BOOST_AUTO_TEST_CASE(wait_completes_with_the_first_client) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,wait");
    auto ready = fixture.ready(serial);
    BOOST_TEST((ready.wait_for(20ms) == std::future_status::timeout));
    Client client(serial->description());
    BOOST_TEST(done(ready));
    auto again = fixture.ready(serial);
    BOOST_TEST(done(again));
    const auto other = fixture.open("tcp:0");
    auto at_once = fixture.ready(other);
    BOOST_TEST(done(at_once));
}

BOOST_AUTO_TEST_CASE(many_writers_at_once_lose_nothing) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,backlog=4K");
    constexpr unsigned each = 2000;
    std::vector<std::thread> guests;
    for (char name = 'a'; name < 'd'; ++name) {
        guests.emplace_back([&, name] {
            for (unsigned i = 0; i < each;) {
                if (put(*serial, std::string(1, name)) == 1) {
                    ++i;
                } else {
                    std::this_thread::yield();
                }
            }
        });
    }
    Client client(serial->description());
    const auto all = client.receive(3UL * each);
    for (auto& guest : guests) guest.join();
    for (char name = 'a'; name < 'd'; ++name) BOOST_TEST(std::count(all.begin(), all.end(), name) == each);
}
