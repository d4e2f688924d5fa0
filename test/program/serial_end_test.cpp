// The end of the guest and the end of the program: what is delivered, for how long it is waited.
#define BOOST_TEST_MODULE serial_end
#include "harness.hpp"
#include "serial_blocks.hpp"
#include "serial_peer.hpp"
#include "serial_vm.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

BOOST_AUTO_TEST_CASE(no_linger_ends_at_once_and_tells_what_is_lost) {
    SerialVm vm("tcp:0,linger=0", printing_blocks(2));
    vm.check_end();
    BOOST_TEST(vm.err().find("2048 bytes were not delivered") != std::string::npos, vm.err());
}

BOOST_AUTO_TEST_CASE(a_linger_of_a_second_waits_for_a_client_and_then_ends) {
    SerialVm vm("tcp:0,linger=1", printing_blocks(2));
    vm.wait_for_error("the guest has ended");
    vm.check_end();
    BOOST_TEST(vm.err().find("2048 bytes were not delivered") != std::string::npos, vm.err());
}

BOOST_AUTO_TEST_CASE(a_linger_is_long_enough_for_a_client_that_comes_in_time) {
    SerialVm vm("tcp:0,linger=20", printing_blocks(2));
    vm.wait_for_error("the guest has ended");
    auto client = vm.connect();
    BOOST_TEST(client.read_to_end() == blocks_text(0, 2 * block_size));
    client.close();
    vm.check_end();
    BOOST_TEST(vm.err().find("not delivered") == std::string::npos, vm.err());
}

BOOST_AUTO_TEST_CASE(with_nothing_to_deliver_nothing_is_waited_for) {
    SerialVm vm("tcp:0", {guest_path("debug-hello")});
    vm.check_end();
    BOOST_TEST(vm.err().find("the guest has ended") == std::string::npos, vm.err());
}

BOOST_AUTO_TEST_CASE(a_client_that_reads_only_after_the_program_has_half_closed_gets_the_tail) {
    SerialVm vm("tcp:0,linger=1", blocks_on_request());
    auto client = vm.connect();
    client.write(std::string(30, '.') + std::string(no_more_blocks));
    // All of it lies in this side's kernel, and the program has gone.
    vm.check_end();
    BOOST_TEST(client.read_to_end() == blocks_text(0, 30 * block_size));
}

BOOST_AUTO_TEST_CASE(input_that_the_guest_never_read_does_not_turn_the_end_into_a_reset) {
    SerialVm vm("tcp:0", blocks_on_request());
    auto client = vm.connect();
    client.write("." + std::string(no_more_blocks) + std::string(5000, 'x'));
    BOOST_TEST(client.read_to_end() == blocks_text(0, block_size));
    client.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(an_interrupt_ends_the_wait_for_a_client) {
    SerialVm vm("tcp:0", printing_blocks(2));
    vm.wait_for_error("the guest has ended");
    vm.send_signal(SIGINT);
    vm.check_end(128 + SIGINT);
    BOOST_TEST(vm.err().find("2048 bytes were not delivered") != std::string::npos, vm.err());
}

BOOST_AUTO_TEST_CASE(a_port_can_be_used_again_at_once) {
    SerialVm first("tcp:0", printing_blocks(1));
    auto client = first.connect();
    BOOST_TEST(client.read_to_end() == blocks_text(0, block_size));
    client.close();
    first.check_end();
    SerialVm second("tcp:" + first.port(), printing_blocks(1));
    BOOST_TEST(second.connect().read_to_end() == blocks_text(0, block_size));
    second.check_end();
}
