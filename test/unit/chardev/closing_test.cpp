#define BOOST_TEST_MODULE chardev_closing
#include "chardev_fixture.hpp"
#include "client.hpp"
#include "directory.hpp"

#include <sys/resource.h>
#include <unistd.h>
#include <filesystem>
#include <optional>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_AUTO_TEST_CASE(drain_with_nothing_to_deliver_ends_at_once_and_silently) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    auto drained = fixture.drain(serial);
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
    BOOST_TEST(fixture.lines.count("guest has ended") == 0u);
}

BOOST_AUTO_TEST_CASE(drain_waits_for_a_client_and_says_so) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    put(*serial, "Hello, world!");
    auto drained = fixture.drain(serial);
    const auto where = serial->description();
    const auto port = where.substr(where.rfind(':') + 1);
    BOOST_TEST(fixture.lines.await("guest has ended") == "serial0: the guest has ended; 13 bytes wait for a client on " +
                                                             where + " (nc localhost " + port +
                                                             " shows them, Ctrl-C gives up)");
    Client client(where);
    BOOST_TEST(client.receive_all() == "Hello, world!");
    BOOST_TEST(client.eof());
    client.close();
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
}

BOOST_AUTO_TEST_CASE(drain_survives_a_client_that_dies_before_the_end) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,backlog=4M");
    std::string all;
    for (unsigned i = 0; i < 20'000; ++i) all += block(i);
    put(*serial, all);
    auto drained = fixture.drain(serial);
    {
        Client client(serial->description(), 4096);
        BOOST_TEST(client.receive(1000) == all.substr(0, 1000));
        client.kill();
    }
    Client next(serial->description());
    const auto rest = next.receive_all();
    BOOST_TEST(next.eof());
    BOOST_TEST(all.ends_with(rest));
    BOOST_TEST(rest.size() > all.size() - 200'000);
    next.close();
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
}

BOOST_AUTO_TEST_CASE(no_reset_eats_the_tail_when_the_client_has_typed_ahead) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    Client client(serial->description());
    client.send(std::string(200'000, 'k'));  // more than the device's buffer, and nobody reads it
    const auto all = block(1, 500'000);
    put(*serial, all);
    auto drained = fixture.drain(serial);
    BOOST_TEST((client.receive_all() == all));
    BOOST_TEST(client.eof());
    client.close();
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
}

BOOST_AUTO_TEST_CASE(a_client_that_stays_does_not_hold_the_end_up_for_long) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    Client client(serial->description());
    put(*serial, "bye");
    BOOST_TEST(client.receive(3) == "bye");
    auto drained = fixture.drain(serial);
    BOOST_TEST_REQUIRE(done(drained));  // and not only when the client closes
    BOOST_TEST(drained.get() == 0u);
    BOOST_TEST(client.receive_all().empty());
    BOOST_TEST(client.eof());
}

BOOST_AUTO_TEST_CASE(linger_bounds_the_wait) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,linger=0.05");
    put(*serial, "lost");
    auto drained = fixture.drain(serial);
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 4u);
}

BOOST_AUTO_TEST_CASE(linger_0_ends_at_once_but_gives_the_kernel_what_it_takes) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,linger=0");
    put(*serial, "lost");
    auto drained = fixture.drain(serial);
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 4u);
    BOOST_TEST(fixture.lines.count("guest has ended") == 0u);

    const auto other = fixture.open("tcp:0,linger=0");
    Client client(other->description());
    BOOST_TEST(eventually([&] { return other->connected(); }));
    put(*other, "tail");
    auto quick = fixture.drain(other);
    BOOST_TEST_REQUIRE(done(quick));
    fixture.close(other);
    BOOST_TEST(client.receive_all() == "tail");
    BOOST_TEST(client.eof());
}

BOOST_AUTO_TEST_CASE(running_out_of_descriptors_is_told_once_and_survived) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    std::optional<Client> client;
    {
        // Every number below the limit is taken: the client's socket is the last.
        std::vector<int> fillers;
        for (int fd = ::dup(0); fd < 200; fd = ::dup(0)) fillers.push_back(fd);
        ::close(fillers.back());
        fillers.pop_back();
        auto limit = before;
        limit.rlim_cur = 200;
        ::setrlimit(RLIMIT_NOFILE, &limit);
        client.emplace(serial->description());
        BOOST_TEST(fixture.lines.await("cannot accept a client").find("too many open files") != std::string::npos);
        for (const int fd : fillers) ::close(fd);
        ::setrlimit(RLIMIT_NOFILE, &before);
    }
    put(*serial, "hello");
    BOOST_TEST(client->receive(5) == "hello");
    BOOST_TEST(fixture.lines.count("cannot accept a client") == 1u);
}

BOOST_AUTO_TEST_CASE(close_wakes_whoever_waits) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,backlog=4,wait");
    auto ready = fixture.ready(serial);
    auto written = fixture.write(serial, "more than four");
    auto drained = fixture.drain(serial);
    BOOST_TEST(!fixture.lines.await("guest has ended").empty());
    fixture.close(serial);
    fixture.close(serial);
    BOOST_TEST(done(ready));
    BOOST_TEST(done(written));
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 4u);
    BOOST_TEST(!serial->connected());
    BOOST_CHECK_THROW(Client(serial->description()), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(opened_and_closed_many_times_leaves_no_descriptors) {
    const auto descriptors = [] {
        const std::filesystem::directory_iterator list("/proc/self/fd");
        return std::distance(begin(list), end(list));
    };
    Fixture fixture;
    const Directory directory;
    fixture.close(fixture.open("tcp:0"));
    const auto before = descriptors();
    for (int i = 0; i < 100; ++i) {
        const auto serial = fixture.open("tcp:0");
        const auto local = fixture.open("unix:" + (directory / "sock"));
        put(*serial, "x");
        Client client(serial->description());
        if (i % 2 == 0) BOOST_TEST(client.receive(1) == "x");
        fixture.close(serial);
        fixture.close(local);
    }
    BOOST_TEST(descriptors() == before);
}

BOOST_AUTO_TEST_CASE(a_loop_may_be_destroyed_in_the_middle_of_everything) {
    for (int stage = 0; stage < 4; ++stage) {
        std::shared_ptr<Chardev> outlives;
        std::optional<Client> client;
        {
            asio::io_context loop(1);
            auto serial = open_chardev("tcp:0", {.loop = loop});
            put(*serial, "x");
            if (stage >= 1) loop.poll();
            if (stage >= 2) {
                client.emplace(serial->description());
                loop.run_for(20ms);
                asio::co_spawn(loop, serial->drain(), [](std::exception_ptr, std::uint64_t) {});
                loop.poll();
            }
            if (stage == 3) outlives = serial;
        }
        if (outlives) BOOST_TEST(put(*outlives, "y") == 1u);
    }
}
