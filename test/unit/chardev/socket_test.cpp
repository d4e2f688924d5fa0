#define BOOST_TEST_MODULE chardev_socket
#include "bench.hpp"
#include "client.hpp"

#include <asyncvm/error.hpp>

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_AUTO_TEST_CASE(it_says_where_it_listens) {
    Bench bench;
    const auto serial = bench.open("tcp:0");
    BOOST_TEST(bench.lines.await("serial0 listens on tcp:127.0.0.1:") == "serial0 listens on " + serial->description());
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
