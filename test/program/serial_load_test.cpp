// 64 MiB of numbered blocks over hundreds of connections: some clients leave between blocks, others are killed inside one.
#define BOOST_TEST_MODULE serial_load
#include "harness.hpp"
#include "serial_blocks.hpp"
#include "serial_clients.hpp"
#include "serial_peer.hpp"
#include "serial_vm.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

constexpr std::uint64_t volume = 64 << 20;
constexpr std::uint64_t turn = 128 * block_size;  ///< what the guest is asked for at a time

/// The blocks come through the debug console, four bytes an access, and are asked for on the serial port.
struct Flood {
    SerialVm vm{"tcp:0", {"--debugcon", "tcp:0,backlog=64K", guest_path("flood")}};
    Peer control = Peer::connect(vm.address("serial0"));
    std::string address = vm.address("debugcon");
    std::uint64_t asked = 0;

    void ask() {
        control.write(std::string(turn / block_size, '.'));
        asked += turn;
    }
    void end() {
        control.write(no_more_blocks);
        auto last = Peer::connect(address);
        BOOST_TEST(last.read_to_end() == "");
        last.close();
        control.close();
        vm.check_end();
    }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(half_the_volume_over_clients_that_leave_between_blocks, Flood) {
    for (std::uint64_t position = 0; position < volume / 2; position += turn) {
        auto client = Peer::connect(address);
        ask();
        const auto wrong = difference_from_blocks(client.read(turn), position);
        BOOST_TEST_REQUIRE(wrong.empty(), wrong);
    }
    end();
}

BOOST_FIXTURE_TEST_CASE(half_the_volume_over_clients_of_which_half_are_killed_inside_a_block, Flood) {
    Follower follower(vm, address, volume / 2);
    while (asked < volume / 2) {
        ask();
        if (asked % (2 * turn) != 0) {
            follower.kill_one();
        } else {
            follower.read_up_to(asked);
        }
    }
    BOOST_TEST(follower.killed() == volume / 2 / turn / 2);
    follower.report();
    end();
}
