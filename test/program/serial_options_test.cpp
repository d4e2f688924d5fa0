// The options of a serial port on a socket: wait, history, log, full=drop; and readiness probes.
#define BOOST_TEST_MODULE serial_options
#include "harness.hpp"
#include "serial_blocks.hpp"
#include "serial_peer.hpp"
#include "serial_vm.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

/// Connects and leaves while the program does not run: it finds a client that is already gone.
void probe(SerialVm& vm, const std::string& address) {
    const Frozen frozen(vm);
    auto client = Peer::connect(address);
    client.close();
}

}  // namespace

BOOST_AUTO_TEST_CASE(with_wait_the_guest_starts_when_the_first_client_is_there) {
    TemporaryDirectory directory;
    const auto log = directory.file("log");
    SerialVm vm("tcp:0,wait,log=" + log, printing_blocks(4));
    const auto address = vm.address();
    // The copy gets everything at once: it would not be empty if the guest ran.
    auto client = Peer::connect(address);
    BOOST_TEST(client.read_to_end() == blocks_text(0, 4 * block_size));
    client.close();
    vm.check_end();
    BOOST_TEST(read_file(log) == blocks_text(0, 4 * block_size));
}

BOOST_AUTO_TEST_CASE(a_probe_before_the_guest_prints_takes_nothing) {
    SerialVm vm("tcp:0", blocks_on_request());
    const auto address = vm.address();
    for (int i = 0; i < 20; ++i) Peer::connect(address).close();
    auto client = Peer::connect(address);
    client.write(".." + std::string(no_more_blocks));
    BOOST_TEST(client.read_to_end() == blocks_text(0, 2 * block_size));
    client.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_probe_while_the_guest_prints_takes_nothing) {
    SerialVm vm("tcp:0,backlog=64K", printing_blocks(200));
    const auto address = vm.address();
    for (int i = 0; i < 20; ++i) probe(vm, address);
    auto client = Peer::connect(address);
    const auto text = client.read_to_end();
    client.close();
    const auto wrong = difference_from_blocks(text, 0);
    BOOST_TEST(wrong.empty(), wrong);
    BOOST_TEST(text.size() == 200 * block_size);
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_probe_after_the_guest_has_halted_takes_nothing) {
    SerialVm vm("tcp:0", printing_blocks(10));
    const auto address = vm.address();
    vm.wait_for_error("the guest has ended");
    for (int i = 0; i < 20; ++i) probe(vm, address);
    auto client = Peer::connect(address);
    BOOST_TEST(client.read_to_end() == blocks_text(0, 10 * block_size));
    client.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(with_history_a_client_sees_again_what_the_ones_before_had_got) {
    SerialVm vm("tcp:0,history=3K", blocks_on_request());
    const auto address = vm.address();
    auto first = Peer::connect(address);
    first.write("12345");
    BOOST_TEST(first.read(5 * block_size) == blocks_text(0, 5 * block_size));
    first.close();
    auto second = Peer::connect(address);
    BOOST_TEST(second.read(3 * block_size) == blocks_text(2 * block_size, 3 * block_size));
    second.write("6");
    BOOST_TEST(second.read(block_size) == blocks_text(5 * block_size, block_size));
    second.close();
    auto third = Peer::connect(address);
    third.write(no_more_blocks);
    BOOST_TEST(third.read_to_end() == blocks_text(3 * block_size, 3 * block_size));
    third.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(with_history_even_a_probe_that_stays_a_while_takes_nothing) {
    SerialVm vm("tcp:0,history=1M", blocks_on_request());
    const auto address = vm.address();
    for (int i = 0; i < 5; ++i) {
        auto client = Peer::connect(address);
        client.write(".");
        client.wait_for_data();
        client.close();
    }
    auto client = Peer::connect(address);
    client.write("." + std::string(no_more_blocks));
    BOOST_TEST(client.read_to_end() == blocks_text(0, 6 * block_size));
    client.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(with_drop_the_newest_output_is_there_and_the_rest_is_counted) {
    SerialVm vm("tcp:0,full=drop,backlog=4K", printing_blocks(32));
    vm.wait_for_error("the guest has ended");
    auto client = vm.connect();
    BOOST_TEST(client.read_to_end() == blocks_text(28 * block_size, 4 * block_size));
    client.close();
    vm.check_end();
    BOOST_TEST(vm.err().find("bytes of output are gone") != std::string::npos, vm.err());
}

BOOST_AUTO_TEST_CASE(the_log_gets_everything_whatever_happens_to_clients) {
    TemporaryDirectory directory;
    const auto log = directory.file("log");
    SerialVm vm("tcp:0,linger=0,log=" + log, blocks_on_request());
    const auto address = vm.address();
    for (int i = 0; i < 3; ++i) {
        auto client = Peer::connect(address);
        client.write("..");
        client.wait_for_data();
        client.reset();
    }
    auto client = Peer::connect(address);
    client.write(no_more_blocks);
    static_cast<void>(client.read_to_end());
    client.close();
    vm.check_end();
    BOOST_TEST(read_file(log) == blocks_text(0, 6 * block_size));
}
