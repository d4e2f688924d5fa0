#define BOOST_TEST_MODULE chardev_socket
#include "bench.hpp"
#include "client.hpp"

#include <asyncvm/error.hpp>

#include <sys/resource.h>
#include <sys/stat.h>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

std::string block(unsigned number, std::size_t size = 100) {
    auto text = "<" + std::to_string(number) + ">";
    while (text.size() < size - 1) text += static_cast<char>('a' + (text.size() * 7 + number) % 26);
    return text + "\n";
}

/// A directory that goes with the test.
struct Directory {
    std::filesystem::path path;
    Directory() {
        std::string name = "/tmp/chardev-test-XXXXXX";
        path = ::mkdtemp(name.data());
    }
    ~Directory() { std::filesystem::remove_all(path); }
    std::string operator/(const char* name) const { return path / name; }
};

std::string contents(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

BOOST_AUTO_TEST_CASE(it_says_where_it_listens) {
    Bench bench;
    const auto serial = bench.open("tcp:0");
    BOOST_TEST(bench.lines.await("serial0 listens on tcp:127.0.0.1:") == "serial0 listens on " + serial->description());
}

BOOST_AUTO_TEST_CASE(a_port_in_use_is_refused_with_a_hint) {
    Bench bench;
    const auto serial = bench.open("tcp:0");
    const auto where = serial->description();
    BOOST_CHECK_EXCEPTION(bench.open(where), Error, [&](const Error& error) {
        return error.kind() == ErrorKind::host &&
               std::string(error.what()) == "cannot listen on " + where +
                                                ": address already in use (another asyncvm? take another port, or port 0 to "
                                                "have one picked)";
    });
}

BOOST_AUTO_TEST_CASE(ipv6_and_names_work) {
    Bench bench;
    BOOST_TEST(bench.open("tcp:localhost:0")->description().find("tcp:127.0.0.1:") == 0u);
    BOOST_TEST(bench.open("tcp:[::1]:0")->description().find("tcp:[::1]:") == 0u);
    BOOST_CHECK_THROW(bench.open("tcp:192.0.2.1:0"), Error);
}

BOOST_AUTO_TEST_CASE(output_before_the_first_client_is_kept_for_it) {
    Bench bench;
    const auto serial = bench.open("tcp:0");
    BOOST_TEST(!serial->connected());
    BOOST_TEST(put(*serial, "early, ") == 7u);
    Client client(serial->description());
    BOOST_TEST(client.receive(7) == "early, ");
    BOOST_TEST(serial->connected());
    put(*serial, "late");
    BOOST_TEST(client.receive(4) == "late");
}

BOOST_AUTO_TEST_CASE(input_reaches_the_device) {
    Bench bench;
    const auto serial = bench.open("tcp:0");
    Client client(serial->description());
    client.send("ls\n");
    BOOST_TEST(get(*serial, 3) == "ls\n");
    BOOST_TEST(!serial->readable());
}

BOOST_AUTO_TEST_CASE(input_that_is_not_read_is_held_back_and_not_lost) {
    Bench bench;
    const auto serial = bench.open("tcp:0");
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
    Bench bench;
    const auto serial = bench.open("tcp:0,backlog=16M");
    std::string all;
    for (unsigned i = 0; i < 80'000; ++i) all += block(i);
    BOOST_TEST_REQUIRE(put(*serial, all) == all.size());
    std::size_t lost_in_kernels = 0;
    std::string got;
    for (int round = 0; round < 5; ++round) {
        Client client(serial->description(), 4096);
        const auto first = client.receive(100);
        // In order and once: what comes is later than what came before.
        const auto at = all.find(first, got.size());
        BOOST_TEST_REQUIRE(at != std::string::npos);
        lost_in_kernels += at - got.size();
        got = all.substr(0, at) + first;
        const auto more = client.receive(20'000);
        BOOST_TEST_REQUIRE((more == all.substr(got.size(), more.size())));
        got += more;
        client.kill();
        BOOST_TEST(eventually([&] { return !serial->connected(); }));
    }
    BOOST_TEST(lost_in_kernels < 5u * 64 * 1024);
    Client last(serial->description());
    auto drained = bench.drain(serial);
    const auto rest = last.receive_all();
    BOOST_TEST((rest == all.substr(all.size() - rest.size())));
    BOOST_TEST(all.size() - rest.size() - got.size() < 64u * 1024);
    last.close();
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
}

BOOST_AUTO_TEST_CASE(clients_that_leave_between_blocks_lose_and_repeat_nothing) {
    Bench bench;
    const auto serial = bench.open("tcp:0,backlog=64K");
    constexpr unsigned clients = 200;
    constexpr std::size_t size = 40 << 10;  // 8 MiB in all
    unsigned wrong = 0;
    for (unsigned c = 0; c < clients && wrong == 0; ++c) {
        const auto text = block(c, size);
        std::future<void> written;
        const bool early = c % 2 == 0;
        if (early) written = bench.write(serial, text);
        Client client(serial->description(), c % 3 == 0 ? 4096 : 0);
        if (!early) written = bench.write(serial, text);
        if (c % 5 == 0) client.half_close();
        if (client.receive(size) != text) ++wrong;
        if (!done(written)) ++wrong;
        if (c % 7 == 0) client.kill();
    }
    BOOST_TEST(wrong == 0u);
    auto drained = bench.drain(serial);
    BOOST_TEST(done(drained));
}

BOOST_AUTO_TEST_CASE(a_second_client_waits_for_its_turn) {
    Bench bench;
    const auto serial = bench.open("tcp:0");
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
    Bench bench;
    const auto serial = bench.open("tcp:0");
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
    Bench bench;
    const auto serial = bench.open("tcp:0");
    Client first(serial->description());
    first.send("a");
    first.half_close();
    BOOST_TEST(get(*serial, 1) == "a");
    put(*serial, "b");
    BOOST_TEST(first.receive(1) == "b");
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
    Bench bench;
    const auto serial = bench.open("tcp:0");
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
    Bench bench;
    const auto serial = bench.open("tcp:0");
    put(*serial, "precious");
    for (int i = 0; i < 10; ++i) {
        Client probe(serial->description());
        if (i % 2 == 0) probe.kill();
    }
    Client client(serial->description());
    BOOST_TEST(client.receive(8) == "precious");
}

BOOST_AUTO_TEST_CASE(output_to_a_client_that_has_gone_unnoticed_is_for_the_next) {
    Bench bench;
    const auto serial = bench.open("tcp:0");
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
    Bench bench;
    const auto slow = bench.open("tcp:0,backlog=4K");
    const auto other = bench.open("tcp:0");
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
    Bench bench;
    const auto serial = bench.open("tcp:0,backlog=10");
    auto written = bench.write(serial, "0123456789abcdefghij");
    BOOST_TEST(eventually([&] { return !serial->writable(); }));
    BOOST_TEST((written.wait_for(0s) == std::future_status::timeout));
    Client client(serial->description());
    BOOST_TEST(client.receive(20) == "0123456789abcdefghij");
    BOOST_TEST(done(written));
}

BOOST_AUTO_TEST_CASE(full_drop_keeps_the_newest_and_tells) {
    Bench bench;
    const auto serial = bench.open("tcp:0,backlog=8,full=drop");
    BOOST_TEST(put(*serial, "0123456789abcdef") == 16u);
    BOOST_TEST(serial->writable());
    Client client(serial->description());
    BOOST_TEST(client.receive(8) == "89abcdef");
    BOOST_TEST(!bench.lines.await("serial0: 8 bytes of output are gone").empty());
}

BOOST_AUTO_TEST_CASE(history_is_shown_to_every_client) {
    Bench bench;
    const auto serial = bench.open("tcp:0,history=6");
    put(*serial, "Hello, world");
    {
        Client client(serial->description());
        BOOST_TEST(client.receive(12) == "Hello, world");
        client.kill();
    }
    BOOST_TEST(eventually([&] { return !serial->connected(); }));
    put(*serial, "!");
    Client next(serial->description());
    BOOST_TEST(next.receive(7) == " world!");
}

BOOST_AUTO_TEST_CASE(wait_completes_with_the_first_client) {
    Bench bench;
    const auto serial = bench.open("tcp:0,wait");
    auto ready = bench.ready(serial);
    BOOST_TEST((ready.wait_for(20ms) == std::future_status::timeout));
    Client client(serial->description());
    BOOST_TEST(done(ready));
    auto again = bench.ready(serial);
    BOOST_TEST(done(again));
    const auto other = bench.open("tcp:0");
    auto at_once = bench.ready(other);
    BOOST_TEST(done(at_once));
}

BOOST_AUTO_TEST_CASE(drain_with_nothing_to_deliver_ends_at_once_and_silently) {
    Bench bench;
    const auto serial = bench.open("tcp:0");
    auto drained = bench.drain(serial);
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
    BOOST_TEST(bench.lines.count("guest has ended") == 0u);
}

BOOST_AUTO_TEST_CASE(drain_waits_for_a_client_and_says_so) {
    Bench bench;
    const auto serial = bench.open("tcp:0");
    put(*serial, "Hello, world!");
    auto drained = bench.drain(serial);
    const auto where = serial->description();
    const auto port = where.substr(where.rfind(':') + 1);
    BOOST_TEST(bench.lines.await("guest has ended") == "serial0: the guest has ended; 13 bytes wait for a client on " +
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
    Bench bench;
    const auto serial = bench.open("tcp:0,backlog=4M");
    std::string all;
    for (unsigned i = 0; i < 20'000; ++i) all += block(i);
    put(*serial, all);
    auto drained = bench.drain(serial);
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
    Bench bench;
    const auto serial = bench.open("tcp:0");
    Client client(serial->description());
    client.send(std::string(200'000, 'k'));  // more than the device's buffer, and nobody reads it
    const auto all = block(1, 500'000);
    put(*serial, all);
    auto drained = bench.drain(serial);
    BOOST_TEST((client.receive_all() == all));
    BOOST_TEST(client.eof());
    client.close();
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
}

BOOST_AUTO_TEST_CASE(a_client_that_stays_does_not_hold_the_end_up_for_long) {
    Bench bench;
    const auto serial = bench.open("tcp:0");
    Client client(serial->description());
    put(*serial, "bye");
    BOOST_TEST(client.receive(3) == "bye");
    const auto begun = std::chrono::steady_clock::now();
    auto drained = bench.drain(serial);
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST((std::chrono::steady_clock::now() - begun < 5s));
    BOOST_TEST(drained.get() == 0u);
    BOOST_TEST(client.receive_all().empty());
    BOOST_TEST(client.eof());
}

BOOST_AUTO_TEST_CASE(linger_bounds_the_wait) {
    Bench bench;
    const auto serial = bench.open("tcp:0,linger=0.05");
    put(*serial, "lost");
    auto drained = bench.drain(serial);
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 4u);
}

BOOST_AUTO_TEST_CASE(linger_0_ends_at_once_but_gives_the_kernel_what_it_takes) {
    Bench bench;
    const auto serial = bench.open("tcp:0,linger=0");
    put(*serial, "lost");
    auto drained = bench.drain(serial);
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 4u);
    BOOST_TEST(bench.lines.count("guest has ended") == 0u);

    const auto other = bench.open("tcp:0,linger=0");
    Client client(other->description());
    BOOST_TEST(eventually([&] { return other->connected(); }));
    put(*other, "tail");
    auto quick = bench.drain(other);
    BOOST_TEST_REQUIRE(done(quick));
    bench.close(other);
    BOOST_TEST(client.receive_all() == "tail");
    BOOST_TEST(client.eof());
}

BOOST_AUTO_TEST_CASE(telnet_negotiates_and_escapes) {
    Bench bench;
    const auto serial = bench.open("tcp:0,telnet");
    put(*serial,
        "a\xff"
        "b");
    Client client(serial->description());
    const std::string greeting("\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00", 12);
    BOOST_TEST(client.receive(12) == greeting);
    BOOST_TEST(client.receive(4) ==
               "a\xff\xff"
               "b");
    client.send(
        std::string("\xff\xfd\x18"
                    "x\xff\xff"
                    "y",
                    7));
    BOOST_TEST(get(*serial, 3) ==
               "x\xff"
               "y");
    BOOST_TEST(client.receive(3) == "\xff\xfc\x18");
}

BOOST_AUTO_TEST_CASE(telnet_clients_that_come_and_go_get_every_byte_once) {
    Bench bench;
    const auto serial = bench.open("tcp:0,telnet,backlog=64K");
    for (int c = 0; c < 20; ++c) {
        std::string text;
        std::string wire;
        for (int i = 0; i < 3000; ++i) {
            const char byte = static_cast<char>(i * 31 + c);
            text += byte;
            wire += std::string(byte == '\xff' ? 2 : 1, byte);
        }
        put(*serial, text);
        Client client(serial->description());
        BOOST_TEST(client.receive(12).size() == 12u);
        BOOST_TEST_REQUIRE((client.receive(wire.size()) == wire));
        if (c % 2 == 0) client.kill();
    }
}

BOOST_AUTO_TEST_CASE(unix_sockets_serve_one_client_after_the_other) {
    Bench bench;
    const Directory directory;
    const auto where = "unix:" + (directory / "sock");
    const auto serial = bench.open(where);
    BOOST_TEST(serial->description() == where);
    for (unsigned c = 0; c < 50; ++c) {
        const auto text = block(c, 10'000);
        put(*serial, text);
        Client client(where);
        BOOST_TEST_REQUIRE((client.receive(text.size()) == text));
        client.send("k");
        BOOST_TEST(get(*serial, 1) == "k");
    }
    // Nothing was read: all of it is for the next, whole.
    const auto text = block(1, 10'000);
    put(*serial, text);
    {
        Client idle(where);
        BOOST_TEST(eventually([&] { return serial->connected(); }));
    }
    BOOST_TEST(eventually([&] { return !serial->connected(); }));
    Client next(where);
    BOOST_TEST((next.receive(text.size()) == text));
    auto drained = bench.drain(serial);
    BOOST_TEST(next.receive_all().empty());
    next.close();
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
    bench.close(serial);
    BOOST_TEST(!std::filesystem::exists(directory / "sock"));
}

BOOST_AUTO_TEST_CASE(a_socket_file_is_replaced_only_if_it_is_a_left_over) {
    Bench bench;
    const Directory directory;
    const auto path = directory / "sock";
    {
        const auto serial = bench.open("unix:" + path);
        BOOST_CHECK_EXCEPTION(bench.open("unix:" + path), Error, [](const Error& e) {
            return e.kind() == ErrorKind::host &&
                   std::string(e.what()).find("somebody listens there already") != std::string::npos;
        });
        bench.close(serial);
    }
    {
        const int left_over = ::socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        BOOST_TEST_REQUIRE(::bind(left_over, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        ::close(left_over);
        const auto serial = bench.open("unix:" + path);
        Client client("unix:" + path);
        // Somebody else's file by now: it stays.
        std::filesystem::remove(path);
        std::ofstream(path) << "mine";
        bench.close(serial);
        BOOST_TEST(contents(path) == "mine");
    }
    BOOST_CHECK_EXCEPTION(bench.open("unix:" + path), Error,
                          [](const Error& e) { return std::string(e.what()).find("no socket") != std::string::npos; });
    BOOST_CHECK_EXCEPTION(bench.open("unix:/nonexistent/sock"), Error, [](const Error& e) {
        return std::string(e.what()).find("directory must exist") != std::string::npos;
    });
    BOOST_CHECK_EXCEPTION(bench.open("unix:/tmp/" + std::string(120, 'x')), Error, [](const Error& e) {
        return std::string(e.what()).find("the system allows 107") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(running_out_of_descriptors_is_told_once_and_survived) {
    Bench bench;
    const auto serial = bench.open("tcp:0");
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
        BOOST_TEST(bench.lines.await("cannot accept a client").find("too many open files") != std::string::npos);
        for (const int fd : fillers) ::close(fd);
        ::setrlimit(RLIMIT_NOFILE, &before);
    }
    put(*serial, "hello");
    BOOST_TEST(client->receive(5) == "hello");
    BOOST_TEST(bench.lines.count("cannot accept a client") == 1u);
}

BOOST_AUTO_TEST_CASE(close_wakes_whoever_waits) {
    Bench bench;
    const auto serial = bench.open("tcp:0,backlog=4,wait");
    auto ready = bench.ready(serial);
    auto written = bench.write(serial, "more than four");
    auto drained = bench.drain(serial);
    BOOST_TEST(!bench.lines.await("guest has ended").empty());
    bench.close(serial);
    bench.close(serial);
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
    Bench bench;
    const Directory directory;
    bench.close(bench.open("tcp:0"));
    const auto before = descriptors();
    for (int i = 0; i < 100; ++i) {
        const auto serial = bench.open("tcp:0");
        const auto local = bench.open("unix:" + (directory / "sock"));
        put(*serial, "x");
        Client client(serial->description());
        if (i % 2 == 0) BOOST_TEST(client.receive(1) == "x");
        bench.close(serial);
        bench.close(local);
    }
    BOOST_TEST(descriptors() == before);
}

BOOST_AUTO_TEST_CASE(a_loop_may_be_destroyed_in_the_middle_of_everything) {
    for (int stage = 0; stage < 4; ++stage) {
        std::shared_ptr<Chardev> outlives;
        std::optional<Client> client;
        {
            asio::io_context loop(1);
            auto serial = open_chardev(parse_chardev_spec("tcp:0"), {.loop = loop});
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

BOOST_AUTO_TEST_CASE(a_client_connects_and_connects_again) {
    Bench bench;
    const auto server = bench.open("tcp:0");
    const auto port = server->description();
    const auto client = bench.open(port + ",client,reconnect=0.01");
    put(*client, "hello");
    BOOST_TEST(get(*server, 5) == "hello");
    put(*server, "there");
    BOOST_TEST(get(*client, 5) == "there");
    BOOST_TEST(bench.lines.count("serial1 is connected to " + port) == 1u);
    bench.close(server);
    BOOST_TEST(!bench.lines.await(port + " has closed the connection").empty());
    BOOST_TEST(!bench.lines.await("serial1: cannot connect to " + port + ": connection refused").empty());
    put(*client, "kept");
    const auto again = bench.open(port);
    BOOST_TEST(get(*again, 4) == "kept");
    BOOST_TEST(bench.lines.count("cannot connect") == 1u);
    auto drained = bench.drain(client);
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
}

BOOST_AUTO_TEST_CASE(a_client_resolves_names_and_reports_those_that_do_not_exist) {
    Bench bench;
    const auto server = bench.open("tcp:0");
    const auto where = server->description();
    const auto client = bench.open("tcp:localhost:" + where.substr(where.rfind(':') + 1) + ",client");
    put(*client, "x");
    BOOST_TEST(get(*server, 1) == "x");
    bench.close(client);
}

BOOST_AUTO_TEST_CASE(a_unix_client_connects_as_soon_as_there_is_a_server) {
    Bench bench;
    const Directory directory;
    const auto where = "unix:" + (directory / "sock");
    const auto client = bench.open(where + ",client,reconnect=0.01");
    put(*client, "early");
    BOOST_TEST(!bench.lines.await("cannot connect to " + where + ": no such file or directory").empty());
    const auto server = bench.open(where);
    BOOST_TEST(get(*server, 5) == "early");
}

BOOST_AUTO_TEST_CASE(the_log_gets_a_copy_of_everything) {
    Bench bench;
    const Directory directory;
    const auto path = directory / "log";
    const auto serial = bench.open("tcp:0,log=" + path);
    put(*serial, "one ");
    BOOST_TEST(eventually([&] { return contents(path) == "one "; }));
    Client client(serial->description());
    BOOST_TEST(client.receive(4) == "one ");
    put(*serial, "two");
    BOOST_TEST(client.receive(3) == "two");
    bench.close(serial);
    BOOST_TEST(contents(path) == "one two");
    BOOST_CHECK_EXCEPTION(bench.open("tcp:0,log=/nonexistent/log"), Error, [](const Error& e) {
        return e.kind() == ErrorKind::host &&
               std::string(e.what()) == "cannot open /nonexistent/log for writing: no such file or directory";
    });
}

BOOST_AUTO_TEST_CASE(many_writers_at_once_lose_nothing) {
    Bench bench;
    const auto serial = bench.open("tcp:0,backlog=4K");
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
