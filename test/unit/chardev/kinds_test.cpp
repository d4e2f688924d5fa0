#define BOOST_TEST_MODULE chardev_kinds
#include "chardev_fixture.hpp"
#include "client.hpp"
#include "directory.hpp"

#include <asyncvm/error.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_AUTO_TEST_CASE(telnet_negotiates_and_escapes) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,telnet");
    put(*serial,
        "a\xff"
        "b");
    Client client(serial->description());
    const std::string greeting("\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00\xff\xfd\x1f", 15);
    BOOST_TEST(client.receive(15) == greeting);
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

BOOST_AUTO_TEST_CASE(a_telnet_client_tells_its_size_else_the_options_do) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,telnet,cols=80,rows=25");
    BOOST_TEST((serial->terminal_size() == TerminalSize{.columns = 80, .rows = 25}));
    BOOST_TEST((fixture.open("tcp:0")->terminal_size() == TerminalSize{}));
    Client client(serial->description());
    client.send(std::string("\xff\xfb\x1f\xff\xfa\x1f\x00\x84\x00\x2b\xff\xf0", 12));
    BOOST_TEST(eventually([&] { return serial->terminal_size() == TerminalSize{.columns = 132, .rows = 43}; }));
    BOOST_TEST(!serial->readable());
}

BOOST_AUTO_TEST_CASE(a_break_of_a_telnet_client_reaches_the_device_also_when_the_client_has_gone) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,telnet");
    Client client(serial->description());
    client.send(
        "ab\xff\xf3"
        "c");
    BOOST_TEST(get(*serial, 2) == "ab");
    BOOST_TEST(eventually([&] { return serial->take_break(); }));
    BOOST_TEST(get(*serial, 1) == "c");
    client.send("\xff\xf3");
    client.close();
    BOOST_TEST(eventually([&] { return serial->take_break(); }));
    BOOST_TEST(!serial->take_break());
}

BOOST_AUTO_TEST_CASE(telnet_clients_that_come_and_go_get_every_byte_once) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,telnet,backlog=64K");
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
        BOOST_TEST(client.receive(15).size() == 15u);
        BOOST_TEST_REQUIRE((client.receive(wire.size()) == wire));
        if (c % 2 == 0) {
            client.acknowledge();
            client.kill();
        }
    }
}

BOOST_AUTO_TEST_CASE(an_observer_hears_of_each_client_that_comes_and_goes) {
    class Journal : public Observer {
    public:
        void chardev(std::string_view label, ChardevEvent event) noexcept override {
            lines.log()(std::string(label) + (event == ChardevEvent::connected ? " connected" : " disconnected"));
        }
        Lines lines;
    };
    const auto journal = std::make_shared<Journal>();
    Fixture fixture;
    fixture.observer = journal;
    const auto serial = fixture.open("tcp:0");
    for (int i = 0; i < 2; ++i) {
        Client client(serial->description());
        client.send("x");
        BOOST_TEST(get(*serial, 1) == "x");
        // Its input comes before it counts as a client: one that is killed in between has never been there.
        BOOST_TEST(eventually([&] { return serial->connected(); }));
        client.kill();
        BOOST_TEST(eventually([&] { return !serial->connected(); }));
    }
    BOOST_TEST(journal->lines.all() == "serial0 connected\nserial0 disconnected\nserial0 connected\nserial0 disconnected\n");
}

BOOST_AUTO_TEST_CASE(an_observer_hears_of_each_byte_and_of_a_full_queue) {
    class Journal : public Observer {
    public:
        void chardev_moved(std::string_view label, Direction direction, std::size_t bytes) noexcept override {
            BOOST_TEST(label == "serial0");
            (direction == Direction::write ? output : input) += bytes;
        }
        void chardev_full(std::string_view, bool full) noexcept override { (full ? stalls : ends) += 1; }
        std::atomic<std::size_t> output = 0;
        std::atomic<std::size_t> input = 0;
        std::atomic<int> stalls = 0;
        std::atomic<int> ends = 0;
    };
    const auto journal = std::make_shared<Journal>();
    Fixture fixture;
    fixture.observer = journal;
    const auto serial = fixture.open("tcp:0,backlog=4K");
    put(*serial, "12345");
    BOOST_TEST(journal->output == 5U);
    BOOST_TEST(journal->stalls == 0);
    const std::string rest(10'000, 'x');
    const auto taken = serial->write_some(std::as_bytes(std::span(rest)));
    BOOST_TEST(taken < rest.size());
    BOOST_TEST(journal->output == 5U + taken);
    BOOST_TEST(journal->stalls == 1);
    BOOST_TEST(journal->ends == 0);
    Client client(serial->description());
    BOOST_TEST(client.receive(5 + taken).size() == 5 + taken);
    BOOST_TEST(eventually([&] { return journal->ends == 1; }));
    client.send("abc");
    BOOST_TEST(get(*serial, 3) == "abc");
    BOOST_TEST(journal->input == 3U);
}

BOOST_AUTO_TEST_CASE(unix_sockets_serve_one_client_after_the_other) {
    Fixture fixture;
    const Directory directory;
    const auto where = "unix:" + (directory / "sock");
    const auto serial = fixture.open(where);
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
    auto drained = fixture.drain(serial);
    BOOST_TEST(next.receive_all().empty());
    next.close();
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
    fixture.close(serial);
    BOOST_TEST(!std::filesystem::exists(directory / "sock"));
}

BOOST_AUTO_TEST_CASE(a_socket_file_is_replaced_only_if_it_is_a_left_over) {
    Fixture fixture;
    const Directory directory;
    const auto path = directory / "sock";
    {
        const auto serial = fixture.open("unix:" + path);
        BOOST_CHECK_EXCEPTION(fixture.open("unix:" + path), Error, [](const Error& e) {
            return e.kind() == ErrorKind::host &&
                   std::string(e.what()).find("somebody listens there already") != std::string::npos;
        });
        fixture.close(serial);
    }
    {
        const int left_over = ::socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        BOOST_TEST_REQUIRE(::bind(left_over, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        ::close(left_over);
        const auto serial = fixture.open("unix:" + path);
        Client client("unix:" + path);
        // Somebody else's file by now: it stays.
        std::filesystem::remove(path);
        std::ofstream(path) << "mine";
        fixture.close(serial);
        BOOST_TEST(contents(path) == "mine");
    }
    BOOST_CHECK_EXCEPTION(fixture.open("unix:" + path), Error,
                          [](const Error& e) { return std::string(e.what()).find("no socket") != std::string::npos; });
    BOOST_CHECK_EXCEPTION(fixture.open("unix:/nonexistent/sock"), Error, [](const Error& e) {
        return std::string(e.what()).find("directory must exist") != std::string::npos;
    });
    BOOST_CHECK_EXCEPTION(fixture.open("unix:/tmp/" + std::string(120, 'x')), Error, [](const Error& e) {
        return std::string(e.what()).find("the system allows 107") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(a_client_connects_and_connects_again) {
    Fixture fixture;
    const auto server = fixture.open("tcp:0");
    const auto port = server->description();
    const auto client = fixture.open(port + ",client,reconnect=0.01");
    put(*client, "hello");
    BOOST_TEST(get(*server, 5) == "hello");
    put(*server, "there");
    BOOST_TEST(get(*client, 5) == "there");
    BOOST_TEST(fixture.lines.count("serial1 is connected to " + port) == 1u);
    fixture.close(server);
    BOOST_TEST(!fixture.lines.await(port + " has closed the connection").empty());
    BOOST_TEST(!fixture.lines.await("serial1: cannot connect to " + port + ": connection refused").empty());
    put(*client, "kept");
    const auto again = fixture.open(port);
    BOOST_TEST(get(*again, 4) == "kept");
    BOOST_TEST(fixture.lines.count("cannot connect") == 1u);
    auto drained = fixture.drain(client);
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
}

BOOST_AUTO_TEST_CASE(a_client_resolves_names_and_reports_those_that_do_not_exist) {
    Fixture fixture;
    const auto server = fixture.open("tcp:0");
    const auto where = server->description();
    const auto client = fixture.open("tcp:localhost:" + where.substr(where.rfind(':') + 1) + ",client");
    put(*client, "x");
    BOOST_TEST(get(*server, 1) == "x");
    fixture.close(client);
}

BOOST_AUTO_TEST_CASE(a_client_of_an_address_needs_no_thread_that_resolves_it) {
    const auto threads = [] {
        const std::filesystem::directory_iterator tasks("/proc/self/task");
        return std::distance(begin(tasks), end(tasks));
    };
    Fixture fixture;
    // What a sanitizer starts with the first thread is there by then.
    const auto v4 = fixture.open("tcp:127.0.0.1:0");
    const auto v6 = fixture.open("tcp:[::1]:0");
    const auto before = threads();
    for (const auto& server : {v4, v6}) {
        const auto client = fixture.open(server->description() + ",client");
        put(*client, "x");
        BOOST_TEST(get(*server, 1) == "x");
    }
    BOOST_TEST(threads() == before);
    const auto named = fixture.open("tcp:0");
    const auto where = named->description();
    const auto client = fixture.open("tcp:localhost:" + where.substr(where.rfind(':') + 1) + ",client");
    put(*client, "x");
    BOOST_TEST(get(*named, 1) == "x");
    // The thread of a lookup ends with it.
    BOOST_TEST(eventually([&] { return threads() == before; }));
}

BOOST_AUTO_TEST_CASE(a_unix_client_connects_as_soon_as_there_is_a_server) {
    Fixture fixture;
    const Directory directory;
    const auto where = "unix:" + (directory / "sock");
    const auto client = fixture.open(where + ",client,reconnect=0.01");
    put(*client, "early");
    BOOST_TEST(!fixture.lines.await("cannot connect to " + where + ": no such file or directory").empty());
    const auto server = fixture.open(where);
    BOOST_TEST(get(*server, 5) == "early");
}
