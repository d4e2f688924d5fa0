// From a client to the guest.
#define BOOST_TEST_MODULE serial_input
#include "harness.hpp"
#include "serial_peer.hpp"
#include "serial_vm.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdio>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

constexpr std::size_t pasted_size = 64 << 10;
constexpr const char* end_of_input = "\x04";

std::vector<std::string> echoing() { return {guest_path("echo")}; }

/// Every byte but Ctrl-D, in an order that shows what is missing, and nothing that the echo would change.
std::string pasted_text() {
    std::string text;
    for (unsigned number = 0; text.size() < pasted_size; ++number) {
        char line[16];
        std::snprintf(line, sizeof line, "%06u:", number);
        text += line;
        const auto byte = static_cast<char>(number % 256);
        const bool changes = byte == 4 || (byte >= 'a' && byte <= 'z');
        text += changes ? '-' : byte;
    }
    text.resize(pasted_size);
    return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_is_pasted_at_once_reaches_the_guest_and_comes_back) {
    SerialVm vm("tcp:0", echoing());
    auto client = vm.connect();
    const auto text = pasted_text();
    client.write(text);
    client.write(end_of_input);
    BOOST_TEST((client.read_to_end() == text));
    client.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(what_is_pasted_at_once_with_little_room_for_the_answer_comes_back) {
    SerialVm vm("tcp:0,backlog=1K", echoing());
    auto client = vm.connect(2048);
    const auto text = pasted_text();
    client.write(text);
    client.write(end_of_input);
    BOOST_TEST((client.read_to_end() == text));
    client.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(the_input_of_one_client_comes_before_that_of_the_next) {
    SerialVm vm("tcp:0", echoing());
    const auto address = vm.address();
    auto first = Peer::connect(address);
    first.write("one ");
    BOOST_TEST(first.read(4) == "ONE ");
    first.close();
    auto second = Peer::connect(address);
    second.write("two");
    second.write(end_of_input);
    BOOST_TEST(second.read_to_end() == "TWO");
    second.close();
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_list_of_guests_on_standard_input_is_left_to_the_loop_that_reads_it) {
    TemporaryDirectory directory;
    const auto guest = directory.file("guest");
    write_file(guest, halting_guest);
    write_file(directory.file("list"), guest + "\n" + guest + "\n" + guest + "\n");
    const std::string loop = R"(while read -r guest; do "$0" "$guest" && echo ran; done)";
    // A guest that prints looks at the line status, and so at its input; a file is set back.
    const auto printing = guest_path("serial-hello");
    write_file(directory.file("printing"), printing + "\n" + printing + "\n" + printing + "\n");
    const auto ended = [&] {
        Child shell({"bash", "-c", loop + " < \"$1\"", asyncvm_path(), directory.file("printing")});
        return shell.wait();
    }();
    const std::string once = "Hello from the guest!\nran\n";
    BOOST_TEST(ended.out == once + once + once);
    for (const std::string input : {" < \"$1\"", " < <(cat \"$1\")"}) {
        Child shell({"bash", "-c", loop + input, asyncvm_path(), directory.file("list")});
        BOOST_TEST(shell.wait().code == 0);
        BOOST_TEST(shell.out() == "ran\nran\nran\n");
    }
}

BOOST_AUTO_TEST_CASE(standard_input_reaches_the_guest_and_comes_back) {
    const auto text = pasted_text();
    const auto ended = run_asyncvm({guest_path("echo")}, text + end_of_input);
    BOOST_TEST(ended.code == 0);
    BOOST_TEST((ended.out == text));
}

BOOST_AUTO_TEST_CASE(input_through_netcat_reaches_the_guest_and_comes_back) {
    SerialVm vm("tcp:0", echoing());
    Child shell({"sh", "-c", "command -v nc >/dev/null || exit 1; printf 'type something\\004' | nc -N 127.0.0.1 \"$0\"",
                 vm.port()});
    if (shell.wait().code == 1 && shell.out().empty()) {
        std::printf("SKIP: no netcat (nc)\n");
        std::fflush(stdout);
        return;
    }
    BOOST_TEST(shell.out() == "TYPE SOMETHING");
    vm.check_end();
}
