#define BOOST_TEST_MODULE chardev_connection
#include "chardev_fixture.hpp"
#include "client.hpp"

#include <chardev/connection.hpp>
#include <chardev/queue.hpp>

#include <boost/test/unit_test.hpp>
#include <optional>
#include <span>
#include <string>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

/// A connection and its peer, connected over loopback.
class Pair {
    asio::io_context loop_{1};

public:
    Queue queue{OutputLog::Options{}};
    std::optional<Client> peer;
    std::optional<Connection> connection;

    Pair() {
        const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        auto* const generic = reinterpret_cast<sockaddr*>(&address);
        socklen_t size = sizeof address;
        BOOST_REQUIRE(::bind(listener, generic, size) == 0);
        BOOST_REQUIRE(::listen(listener, 1) == 0);
        BOOST_REQUIRE(::getsockname(listener, generic, &size) == 0);
        peer.emplace("tcp:127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
        const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        BOOST_REQUIRE(fd >= 0);
        ::close(listener);
        connection.emplace(loop_, UniqueFd(fd), false, false);
        connection->admit(queue);
    }

    void print(std::string_view text) {
        BOOST_TEST_REQUIRE(queue.write_some(std::as_bytes(std::span(text))) == text.size());
        connection->fsm().output_ready();
        BOOST_REQUIRE(connection->send(queue));
    }

    /// The peer reads, and this side's kernel learns of it.
    void hear(std::string_view text) {
        BOOST_TEST(peer->receive(text.size()) == text);
        BOOST_TEST(eventually([this] { return all_arrived(); }));
    }

    bool all_arrived() {
        connection->look(queue);
        return connection->fsm().all_arrived();
    }
    void half_close() {
        connection->fsm().finish({}, std::chrono::steady_clock::now());
        BOOST_TEST(connection->settle(queue) == 0u);
    }
    void close() {
        connection->fsm().abandoned();
        BOOST_TEST(connection->settle(queue) == 0u);
        BOOST_TEST_REQUIRE(connection->over());
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(what_the_peers_kernel_has_not_acknowledged_has_not_arrived) {
    Pair pair;
    pair.print("heard,");
    pair.hear("heard,");
    pair.peer->deafen();
    pair.print("not heard");
    pair.close();
    BOOST_TEST(pair.queue.delivered() == 6u);
}

BOOST_AUTO_TEST_CASE(an_end_of_file_that_is_still_under_way_is_no_byte_of_output) {
    Pair pair;
    pair.print("everything");
    pair.hear("everything");
    pair.peer->deafen();
    pair.half_close();
    BOOST_TEST(!pair.all_arrived());
    pair.close();
    BOOST_TEST(pair.queue.delivered() == 10u);
}

BOOST_AUTO_TEST_CASE(an_end_of_file_does_not_make_the_output_before_it_arrive) {
    Pair pair;
    pair.print("heard,");
    pair.hear("heard,");
    pair.peer->deafen();
    pair.print("not heard");
    pair.half_close();
    pair.close();
    BOOST_TEST(pair.queue.delivered() == 6u);
}

BOOST_AUTO_TEST_CASE(a_connection_that_is_dead_already_has_no_end_of_file) {
    Pair pair;
    pair.print("heard,");
    pair.hear("heard,");
    pair.print("unread");
    pair.hear("");  // only acknowledged
    pair.peer->kill();
    pair.half_close();
    pair.close();
    BOOST_TEST(pair.queue.delivered() == 12u);
}
