// A debugger's connection.
#define BOOST_TEST_MODULE gdb_connection
#include <sys/socket.h>

#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <thread>

#include "gdb/connection.hpp"

using namespace asyncvm;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_CASE(who_looks_for_bytes_sees_them_come_and_leaves_them_there) {
    std::array<int, 2> ends{};
    BOOST_TEST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0);
    const UniqueFd theirs(ends[1]);
    asio::io_context loop;
    gdb::Connection ours(loop, UniqueFd(ends[0]));
    const auto begin = std::chrono::steady_clock::now();
    ours.look_for_bytes(1ms);
    BOOST_TEST((std::chrono::steady_clock::now() - begin >= 1ms));
    std::thread debugger([&] { BOOST_TEST(::send(theirs.get(), "+", 1, 0) == 1); });
    ours.look_for_bytes(1h);
    debugger.join();
    char byte = 0;
    BOOST_TEST(::recv(ends[0], &byte, 1, MSG_DONTWAIT) == 1);
    BOOST_TEST(byte == '+');
    ours.close();
    ours.look_for_bytes(1h);
}
