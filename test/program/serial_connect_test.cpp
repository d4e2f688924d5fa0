// The program as the client of a server: it connects, and connects again.
#define BOOST_TEST_MODULE serial_connect
#include "harness.hpp"
#include "serial_blocks.hpp"
#include "serial_peer.hpp"
#include "serial_vm.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

std::string connecting_to(const Server& server) {
    return "tcp:127.0.0.1:" + std::to_string(server.port()) + ",client,reconnect=0.1";
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_server_gets_the_output_and_gives_input) {
    Server server;
    SerialVm vm(connecting_to(server), blocks_on_request());
    auto peer = server.accept();
    peer.write(".." + std::string(no_more_blocks));
    BOOST_TEST(peer.read_to_end() == blocks_text(0, 2 * block_size));
    peer.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_server_that_drops_the_connection_between_blocks_loses_nothing) {
    Server server;
    SerialVm vm(connecting_to(server), blocks_on_request());
    for (std::size_t i = 0; i < 10; ++i) {
        auto peer = server.accept();
        peer.write(".");
        BOOST_TEST(peer.read(block_size) == blocks_text(i * block_size, block_size));
    }
    auto last = server.accept();
    last.write(no_more_blocks);
    BOOST_TEST(last.read_to_end() == "");
    last.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(what_a_server_had_not_got_when_it_crashed_goes_to_the_next_connection) {
    Server server;
    SerialVm vm(connecting_to(server) + ",backlog=8K", printing_blocks(100));
    auto first = server.accept();
    const auto head = first.read(5000);
    BOOST_TEST(head == blocks_text(0, head.size()));
    std::size_t acknowledged = 0;
    {
        const Frozen frozen(vm);
        first.take_no_more();
        acknowledged = head.size() + first.unread();
        first.acknowledge();
        first.reset();
    }
    auto second = server.accept();
    const auto rest = second.read_to_end();
    const auto start = 100 * block_size - rest.size();
    BOOST_TEST(start == acknowledged);
    const auto wrong = difference_from_blocks(rest, start);
    BOOST_TEST(wrong.empty(), wrong);
    second.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_server_that_half_closes_every_connection_at_once_gets_each_byte_once) {
    constexpr unsigned blocks = 128;
    Server server;
    SerialVm vm(connecting_to(server) + ",linger=60", printing_blocks(blocks));
    std::string text;
    while (text.size() < blocks * block_size) {
        auto peer = server.accept();
        peer.half_close();
        text += peer.read_to_end();
    }
    BOOST_TEST((text == blocks_text(0, blocks * block_size)));
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(output_waits_until_there_is_a_server) {
    Server server;
    server.stop();
    SerialVm vm(connecting_to(server), printing_blocks(8));
    const auto line = vm.wait_for_error_line("cannot connect to tcp:127.0.0.1:" + std::to_string(server.port()));
    BOOST_TEST(line.find("connection refused") != line.npos, line);
    vm.wait_for_error("the guest has ended");
    server.start();
    auto peer = server.accept();
    BOOST_TEST(peer.read_to_end() == blocks_text(0, 8 * block_size));
    peer.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(with_wait_the_guest_starts_when_the_server_is_there) {
    Server server;
    server.stop();
    SerialVm vm(connecting_to(server) + ",wait", printing_blocks(1));
    vm.wait_for_error("cannot connect to");
    server.start();
    auto peer = server.accept();
    BOOST_TEST(peer.read_to_end() == blocks_text(0, block_size));
    peer.close();
    vm.check_end();
    BOOST_TEST(vm.err().find("the guest has ended") == std::string::npos, "the guest had ended before: " << vm.err());
}

BOOST_AUTO_TEST_CASE(a_signal_ends_the_attempts) {
    Server server;
    server.stop();
    SerialVm vm(connecting_to(server), printing_blocks(1));
    vm.wait_for_error("cannot connect to");
    vm.send_signal(SIGTERM);
    vm.check_end(128 + SIGTERM);
}
