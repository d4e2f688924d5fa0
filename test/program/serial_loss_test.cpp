// Many clients one after the other, and numbered blocks: what is lost, what comes twice. Over the UART.
#define BOOST_TEST_MODULE serial_loss
#include "harness.hpp"
#include "serial_blocks.hpp"
#include "serial_clients.hpp"
#include "serial_peer.hpp"
#include "serial_vm.hpp"

#include <boost/test/unit_test.hpp>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

BOOST_AUTO_TEST_CASE(clients_that_leave_between_blocks_lose_and_repeat_nothing) {
    SerialVm vm("tcp:0", blocks_on_request());
    const auto address = vm.address();
    std::uint64_t position = 0;
    for (unsigned i = 0; i < 200; ++i) {
        auto client = Peer::connect(address);
        const std::size_t count = 1 + i % 7;
        client.write(std::string(count, '.'));
        const auto wrong = difference_from_blocks(client.read(count * block_size), position);
        BOOST_TEST_REQUIRE(wrong.empty(), "client " << i << ": " << wrong);
        position += count * block_size;
    }
    auto last = Peer::connect(address);
    last.write(no_more_blocks);
    BOOST_TEST(last.read_to_end() == "");
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(clients_killed_inside_a_block_lose_what_their_kernel_had_acknowledged_and_no_more) {
    constexpr unsigned blocks = 1024;
    SerialVm vm("tcp:0,backlog=16K", printing_blocks(blocks));
    Follower follower(vm, vm.address(), blocks * block_size);
    while (follower.remaining() > 64 * block_size) follower.kill_one();
    follower.read_the_rest();
    vm.check_end();
    BOOST_TEST(follower.killed() > 20U);
    follower.report();
}
