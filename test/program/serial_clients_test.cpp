// Clients of a serial port on TCP, one at a time: none, late, slow, leaving, half-closing, and netcat.
#define BOOST_TEST_MODULE serial_clients
#include "harness.hpp"
#include "serial_blocks.hpp"
#include "serial_peer.hpp"
#include "serial_vm.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <cstdio>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

constexpr const char* on_tcp = "tcp:0";

void check_blocks(const std::string& text, unsigned count) {
    BOOST_TEST(text.size() == count * block_size);
    const auto wrong = difference_from_blocks(text, 0);
    BOOST_TEST(wrong.empty(), wrong);
}

/// Without netcat, a reason to skip; else an empty text.
bool has_netcat() {
    Child probe({"sh", "-c", "command -v nc"});
    if (probe.wait().code == 0) return true;
    std::printf("SKIP: no netcat (nc)\n");
    std::fflush(stdout);
    return false;
}

std::string netcat_output(Child& netcat, std::size_t size) {
    netcat.wait_until("netcat's output", [&] { return netcat.out().size() >= size; });
    return netcat.out();
}

}  // namespace

BOOST_AUTO_TEST_CASE(without_a_client_the_guest_runs_to_its_end_and_the_program_says_what_it_waits_for) {
    SerialVm vm(on_tcp, printing_blocks(3));
    const auto port = vm.port();
    const auto line = vm.wait_for_error_line("the guest has ended");
    BOOST_TEST(line.find("3072 bytes wait") != line.npos, line);
    BOOST_TEST(line.find("nc localhost " + port) != line.npos, line);
    BOOST_TEST(line.find("Ctrl-C") != line.npos, line);
}

BOOST_AUTO_TEST_CASE(a_client_that_comes_after_the_guest_has_halted_gets_everything) {
    SerialVm vm(on_tcp, printing_blocks(20));
    vm.wait_for_error("the guest has ended");
    check_blocks(vm.connect().read_to_end(), 20);
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_client_that_comes_while_the_guest_prints_gets_everything) {
    SerialVm vm(on_tcp, printing_blocks(100));
    check_blocks(vm.connect().read_to_end(), 100);
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(output_is_kept_up_to_the_backlog_and_then_the_guest_waits) {
    SerialVm vm("tcp:0,backlog=8K", printing_blocks(50));
    check_blocks(vm.connect().read_to_end(), 50);
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_slow_client_with_a_small_receive_buffer_gets_everything) {
    SerialVm vm("tcp:0,backlog=8K", printing_blocks(64));
    auto client = vm.connect(2048);
    std::string text;
    for (;;) {
        const auto part = client.read_some(100);
        if (part.empty()) break;
        text += part;
    }
    check_blocks(text, 64);
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_client_that_half_closes_keeps_receiving) {
    SerialVm vm(on_tcp, blocks_on_request());
    auto client = vm.connect();
    client.write("123" + std::string(no_more_blocks));
    client.half_close();
    check_blocks(client.read_to_end(), 3);
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_client_that_half_closes_before_the_guest_prints_keeps_receiving) {
    SerialVm vm("tcp:0,wait", printing_blocks(40));
    auto client = vm.connect();
    client.half_close();
    check_blocks(client.read_to_end(), 40);
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_client_that_leaves_in_the_middle_does_not_end_the_program) {
    SerialVm vm(on_tcp, blocks_on_request());
    for (const bool by_reset : {false, true, false, true}) {
        auto client = vm.connect();
        client.write("12345678");
        client.wait_for_data();
        by_reset ? client.reset() : client.close();
    }
    auto last = vm.connect();
    last.write(no_more_blocks);
    const auto text = last.read_to_end();
    BOOST_TEST(text.size() <= 32 * block_size);
    BOOST_TEST(blocks_text(32 * block_size - text.size(), text.size()) == text);
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(two_clients_at_once_are_served_one_after_the_other) {
    SerialVm vm(on_tcp, blocks_on_request());
    auto first = vm.connect();
    first.write("1");
    const auto one = first.read(block_size);
    auto second = vm.connect();
    second.write("2");
    first.write("3");
    check_blocks(one + first.read(block_size), 2);
    BOOST_TEST(second.unread() == 0U);
    first.close();
    BOOST_TEST(second.read(block_size) == blocks_text(2 * block_size, block_size));
    second.write(no_more_blocks);
    BOOST_TEST(second.read_to_end() == "");
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(netcat_gets_what_the_guest_has_printed_before_and_after_it_came) {
    if (!has_netcat()) return;
    SerialVm vm(on_tcp, printing_blocks(30));
    Child netcat({"nc", "127.0.0.1", vm.port()});
    netcat.end_input();
    check_blocks(netcat.wait().out, 30);
    BOOST_TEST(netcat.wait().code == 0);
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(netcat_that_half_closes_after_its_input_gets_the_answer) {
    if (!has_netcat()) return;
    SerialVm vm(on_tcp, blocks_on_request());
    Child netcat({"nc", "-N", "127.0.0.1", vm.port()});
    netcat.type("ab" + std::string(no_more_blocks));
    netcat.end_input();
    check_blocks(netcat.wait().out, 2);
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(one_netcat_after_the_other_also_killed_ones_get_all_blocks) {
    if (!has_netcat()) return;
    SerialVm vm(on_tcp, blocks_on_request());
    const auto port = vm.port();
    std::string text;
    for (int i = 0; i < 10; ++i) {
        Child netcat({"nc", "127.0.0.1", port});
        netcat.type("xyz");
        text += netcat_output(netcat, 3 * block_size);
        netcat.send_signal(i % 2 == 0 ? SIGKILL : SIGTERM);
        netcat.wait();
    }
    Child last({"nc", "127.0.0.1", port});
    last.type("x" + std::string(no_more_blocks));
    last.end_input();
    check_blocks(text + last.wait().out, 31);
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_netcat_killed_inside_a_block_loses_no_more_than_its_kernel_had) {
    if (!has_netcat()) return;
    SerialVm vm(on_tcp, blocks_on_request());
    const auto port = vm.port();
    Child netcat({"nc", "127.0.0.1", port});
    netcat.type("12345678");
    netcat.wait_for_output("block 00000002");
    netcat.send_signal(SIGKILL);
    netcat.wait();
    // What the one before had not got, and two more.
    auto next = Peer::connect(vm.address());
    next.write("90" + std::string(no_more_blocks));
    const auto rest = next.read_to_end();
    const auto start = 10 * block_size - rest.size();
    BOOST_TEST(rest.size() >= 2 * block_size);
    const auto wrong = difference_from_blocks(rest, start);
    BOOST_TEST(wrong.empty(), wrong);
    vm.check_end();
}
