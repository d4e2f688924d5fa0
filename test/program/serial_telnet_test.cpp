// A telnet client, by hand: negotiation, and bytes that telnet gives a meaning.
#define BOOST_TEST_MODULE serial_telnet
#include "harness.hpp"
#include "serial_blocks.hpp"
#include "serial_peer.hpp"
#include "serial_vm.hpp"

#include <boost/test/unit_test.hpp>

using namespace program_test;
using namespace std::string_literals;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

// RFC 854: IAC and the verbs; the options ECHO (1), SUPPRESS-GO-AHEAD (3), BINARY (0), NAWS (31), NEW-ENVIRON (39).
const std::string will = "\xff\xfb"s, wont = "\xff\xfc"s, do_ = "\xff\xfd"s, dont = "\xff\xfe"s;
const std::string echo = "\x01"s, go_ahead = "\x03"s, binary = "\0"s, window_size = "\x1f"s, new_environment = "\x27"s;
const std::string greeting = will + echo + will + go_ahead + will + binary + do_ + binary + do_ + window_size;

/// Echoes what it gets, small letters as capitals, until Ctrl-D.
std::vector<std::string> echoing() { return {guest_path("echo")}; }

}  // namespace

BOOST_AUTO_TEST_CASE(a_telnet_client_is_greeted_with_character_mode) {
    SerialVm vm("telnet:0", echoing());
    auto client = vm.connect();
    BOOST_TEST(client.read(greeting.size()) == greeting);
    client.write("\x04");
    BOOST_TEST(client.read_to_end() == "");
    client.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_raw_client_is_not_bothered_with_telnet) {
    SerialVm vm("tcp:0", echoing());
    auto client = vm.connect();
    client.write("a\xff\xfb\x01z\x04");
    BOOST_TEST(client.read_to_end() == "A\xff\xfb\x01Z");
    client.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(agreement_is_not_answered_and_what_is_unknown_is_declined) {
    SerialVm vm("tcp:0,telnet", echoing());
    auto client = vm.connect();
    BOOST_TEST(client.read(greeting.size()) == greeting);
    client.write(do_ + echo + do_ + go_ahead + do_ + binary + will + binary);
    client.write(will + new_environment);
    BOOST_TEST(client.read(3) == dont + new_environment);
    client.write(do_ + window_size);
    BOOST_TEST(client.read(3) == wont + window_size);
    client.write("ok\x04");
    BOOST_TEST(client.read_to_end() == "OK");
    client.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_byte_of_255_is_doubled_in_both_directions) {
    SerialVm vm("telnet:0", echoing());
    auto client = vm.connect();
    BOOST_TEST(client.read(greeting.size()) == greeting);
    client.write(do_ + binary + will + binary);
    client.write("a\xff\xff"s + "b\xff\xff\xff\xff"s + "c\x04"s);
    BOOST_TEST(client.read_to_end() == "A\xff\xff"s + "B\xff\xff\xff\xff"s + "C"s);
    client.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(commands_and_subnegotiations_do_not_reach_the_guest_wherever_they_are_cut) {
    SerialVm vm("telnet:0", echoing());
    auto client = vm.connect();
    BOOST_TEST(client.read(greeting.size()) == greeting);
    // A window size with an escaped 255 in it, a NOP, and a letter after each; byte by byte.
    const auto text = "a\xff\xfa\x1f"s + "\0\xff\xff\0\x18"s + "\xff\xf0"s + "b\xff\xf1"s + "c\x04"s;
    for (const char byte : text) client.write(std::string(1, byte));
    BOOST_TEST(client.read_to_end() == "ABC");
    client.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_carriage_return_of_a_line_mode_client_is_one_byte) {
    SerialVm vm("telnet:0", echoing());
    auto client = vm.connect();
    BOOST_TEST(client.read(greeting.size()) == greeting);
    client.write(dont + binary + wont + binary);
    BOOST_TEST(client.read(6) == wont + binary + dont + binary);
    client.write("a\r\0b\x04"s);
    BOOST_TEST(client.read_to_end() == "A\rB"s);
    client.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(each_telnet_client_is_greeted_and_loses_nothing) {
    SerialVm vm("telnet:0", blocks_on_request());
    const auto address = vm.address();
    for (std::size_t i = 0; i < 20; ++i) {
        auto client = Peer::connect(address);
        client.write(".");
        BOOST_TEST(client.read(greeting.size()) == greeting);
        BOOST_TEST(client.read(block_size) == blocks_text(i * block_size, block_size));
    }
    auto last = Peer::connect(address);
    last.write(no_more_blocks);
    BOOST_TEST(last.read_to_end() == greeting);
    last.close();
    vm.check_end();
}
