// A client that is there and does not read stops the guest's output on that port, and nothing else.
#define BOOST_TEST_MODULE serial_stall
#include "harness.hpp"
#include "serial_peer.hpp"
#include "serial_vm.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

/// Two vCPUs: one prints digits without end on serial0, whose client does not read; the other answers on serial1 how many
/// digits there are so far.
struct Stalled : TemporaryDirectory {
    Stalled()
        : vm("unix:" + file("digits") + ",backlog=4K",
             {"--serial", "unix:" + file("answers"), "--cpus", "2", guest_path("two-ports")}),
          digits(Peer::connect(vm.address("serial0"))),
          answers(Peer::connect(vm.address("serial1"))) {
        // So long without a digit: the vCPU waits, or the host has no time for it.
        constexpr int enough = 300;
        digits.wait_for_data();
        auto last = printed();
        for (int unchanged = 0; unchanged < enough; ++unchanged) {
            const auto now = printed();
            if (now != last) unchanged = 0;
            last = now;
        }
    }

    std::string printed() {
        answers.write("?");
        return answers.read(9);
    }

    SerialVm vm;
    Peer digits;
    Peer answers;
};

void check_digits(const std::string& text, std::size_t from) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != static_cast<char>('0' + (from + i) % 10)) {
            BOOST_ERROR("at " << from + i << " there is " << text.substr(i, 20));
            return;
        }
    }
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_output_waits_another_vcpu_and_another_port_go_on_and_nothing_is_lost, Stalled) {
    const auto before = printed();
    std::size_t got = 0;
    while (got < 100000) {
        const auto part = digits.read_some();
        BOOST_TEST_REQUIRE(!part.empty());
        check_digits(part, got);
        got += part.size();
    }
    BOOST_TEST(printed() > before);
    answers.write("\x04");
    const auto rest = digits.read_to_end();
    check_digits(rest, got);
    digits.close();
    answers.close();
    vm.check_end();
}

BOOST_FIXTURE_TEST_CASE(a_signal_ends_the_program_soon, Stalled) {
    vm.send_signal(SIGINT);
    vm.check_end(128 + SIGINT);
    check_digits(digits.read_to_end(), 0);
}

BOOST_FIXTURE_TEST_CASE(a_client_that_stalls_and_dies_makes_room_for_the_next, Stalled) {
    digits.close();
    digits = Peer::connect(vm.address("serial0"));
    const auto text = digits.read(20000);
    check_digits(text, static_cast<std::size_t>(text[0] - '0'));
    vm.send_signal(SIGTERM);
    vm.check_end(128 + SIGTERM);
}

BOOST_AUTO_TEST_CASE(a_signal_ends_the_program_soon_while_a_client_on_tcp_does_not_read) {
    SerialVm vm("tcp:0,backlog=4K", {guest_path("two-ports")});
    auto client = vm.connect(2048);
    client.wait_for_data();
    vm.send_signal(SIGINT);
    vm.check_end(128 + SIGINT);
}
