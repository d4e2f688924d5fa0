// The metrics of the real program, over its socket.
#define BOOST_TEST_MODULE metrics
#include "client.hpp"
#include "harness.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

using namespace program_test;

namespace {

struct Running : TemporaryDirectory {
    Running() {
        write_file(file("guest"), spinning_guest);
        child = std::make_unique<Child>(asyncvm({"--metrics", "unix:" + socket, "--serial", "null", file("guest")}));
        child->wait_for_output("S");
    }
    std::string ask(std::string_view request) const {
        UnixClient client(socket);
        client.write(request);
        return client.read_to_end();
    }

    std::string socket = file("metrics");
    std::unique_ptr<Child> child;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(what_the_guest_does_is_counted_and_told_in_the_format_that_is_asked_for, Running) {
    const auto classic = ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    BOOST_TEST(classic.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"),
               classic);
    BOOST_TEST(
        classic.find(
            "\nasyncvm_accesses_total{space=\"port\",address=\"0xe9\",device=\"debugcon\",direction=\"write\"} 1\n") !=
            std::string::npos,
        classic);
    BOOST_TEST(classic.find("\nasyncvm_stream_bytes_total{stream=\"serial0\",direction=\"from_guest\"} 0\n") !=
               std::string::npos);
    const auto open = ask("GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text\r\n\r\n");
    BOOST_TEST(open.find("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n") !=
               std::string::npos);
    BOOST_TEST(open.ends_with("# EOF\n"));
    // Nothing is printed for that, other than with --stats.
    child->send_signal(SIGTERM);
    BOOST_TEST(child->wait().err.find("statistics of") == std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(other_requests_are_refused_and_disturb_nothing, Running) {
    BOOST_TEST(ask("GET / HTTP/1.1\r\n\r\n").find("/metrics") != std::string::npos);
    BOOST_TEST(ask("GET /nope HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    BOOST_TEST(ask("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").starts_with("HTTP/1.1 405 "));
    BOOST_TEST(ask("hello\r\n\r\n").starts_with("HTTP/1.1 400 "));
    BOOST_TEST(ask(std::string(20'000, 'x')).starts_with("HTTP/1.1 431 "));
    BOOST_TEST(ask("HEAD /metrics HTTP/1.1\r\n\r\n").ends_with("Connection: close\r\n\r\n"));
    const UnixClient silent(socket);
    BOOST_TEST(ask("GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
}

BOOST_AUTO_TEST_CASE(places_that_are_none_are_named) {
    TemporaryDirectory files;
    write_file(files.file("guest"), halting_guest);
    BOOST_TEST(run_asyncvm({"--metrics", "9100", files.file("guest")}).code == 64);
    BOOST_TEST(run_asyncvm({"--metrics", "tcp:x:y", files.file("guest")}).code == 64);
    const auto option = run_asyncvm({"--metrics", "unix:" + files.file("m") + ",client", files.file("guest")});
    BOOST_TEST(option.code == 64);
    BOOST_TEST(option.err.find("no option 'client' (a comma in the path is doubled)") != std::string::npos, option.err);
    const auto words = run_asyncvm({"--metrics", "unix:" + files.file("a,,b") + ",server,nowait", files.file("guest")});
    BOOST_TEST(words.code == 0);
    BOOST_TEST(words.err.find("metrics are at unix:" + files.file("a,b") + "\n") != std::string::npos, words.err);
    BOOST_TEST(run_asyncvm({"--metrics", "unix:" + files.file("no/folder"), files.file("guest")}).code == 72);
    const auto tcp = run_asyncvm({"--metrics", "tcp:0", files.file("guest")});
    BOOST_TEST(tcp.code == 0);
    BOOST_TEST(tcp.err.find("metrics are at http://127.0.0.1:") != std::string::npos, tcp.err);
}
