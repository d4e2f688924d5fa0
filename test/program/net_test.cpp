// --net and --vsock: machines that exchange frames, and what is refused.
#define BOOST_TEST_MODULE net
#include "harness.hpp"
#include "mirror.hpp"

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <filesystem>
#include <memory>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

std::vector<std::string> machine(const std::string& role, const std::string& net) {
    return asyncvm({"--mode", "32", "--reg", "rbx=" + role, "--net", net, guest_path("virtio-net")});
}

/// One machine asks until the other has answered.
void exchange(const std::string& asks, const std::string& answers) {
    Child one(machine("1", asks));
    Child other(machine("2", answers));
    BOOST_TEST(other.wait().out == "virtio-net ok\n", other.err());
    BOOST_TEST(one.wait().out == "virtio-net ok\n", one.err());
}

}  // namespace

BOOST_AUTO_TEST_CASE(two_machines_exchange_frames_over_a_stream_socket) {
    const TemporaryDirectory directory;
    const auto path = directory.file("net");
    exchange("stream:unix:" + path + ",server", "stream:unix:" + path);
    BOOST_TEST(!std::filesystem::exists(path));
    exchange("stream:unix:" + path, "stream:unix:" + path + ",server");
}

BOOST_AUTO_TEST_CASE(two_machines_exchange_frames_over_datagrams) {
    const TemporaryDirectory directory;
    const auto a = directory.file("a");
    const auto b = directory.file("b");
    exchange("dgram:unix:" + a + ",remote=" + b, "dgram:unix:" + b + ",remote=" + a);
}

BOOST_AUTO_TEST_CASE(a_machine_that_is_killed_leaves_the_other_running_and_the_next_takes_its_place) {
    const TemporaryDirectory directory;
    const auto path = directory.file("net");
    Child asks(machine("1", "stream:unix:" + path + ",server"));
    asks.wait_for_error("net0: listens on stream:unix:" + path);
    {
        // A guest without a driver: nobody answers.
        const Child other(asyncvm({"--net", "stream:unix:" + path, guest_path("spin")}));
        asks.wait_for_error("net0: a peer is connected");
    }
    asks.wait_for_error("net0: the peer on stream:unix:" + path + " is gone");
    Child answers(machine("2", "stream:unix:" + path + ",reconnect=1"));
    BOOST_TEST(asks.wait().out == "virtio-net ok\n", asks.err());
}

BOOST_AUTO_TEST_CASE(another_process_serves_a_card) {
    const TemporaryDirectory directory;
    const auto path = directory.file("card");
    const Mirror mirror(path);
    // The second machine comes to the same process.
    for (int i = 0; i < 2; ++i) {
        const auto ended = Child(machine("0", "vhost-user:" + path)).wait();
        BOOST_TEST(ended.out == "virtio-net ok\n", ended.err);
        BOOST_TEST(ended.code == 0);
    }
}

BOOST_AUTO_TEST_CASE(a_card_outlives_the_process_that_serves_it) {
    const TemporaryDirectory directory;
    const auto path = directory.file("card");
    // It takes frames, and the guest waits for ever that they are given back.
    auto mirror = std::make_unique<Mirror>(path, Mirror::Conduct::keeps_all);
    Child vm(machine("1", "vhost-user:" + path));
    vm.wait_until("the guest's driver", [&] { return mirror->serves(); });
    ::unlink(path.c_str());
    mirror.reset();
    vm.wait_for_error_line("net0: the back end at " + path + " is gone: it has closed the connection");
    mirror = std::make_unique<Mirror>(path);
    const auto& ended = vm.wait();
    BOOST_TEST(ended.out == "virtio-net ok\n", ended.err);
    BOOST_TEST(ended.err.find("net0: the back end at " + path + " is there again") != std::string::npos, ended.err);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_opened_is_said_and_the_guest_does_not_start) {
    for (const auto* const option : {"--net", "--vsock"}) {
        const std::string spec =
            option == std::string("--net") ? "stream:unix:/nonexistent/a,server" : "unix:/nonexistent/a";
        const auto ended = run_asyncvm({"--mode", "32", option, spec, guest_path("virtio-net")});
        BOOST_TEST(ended.out == "");
        BOOST_TEST(ended.code != 0);
        BOOST_TEST(ended.err.find("cannot listen on unix:/nonexistent/a: no such file or directory") != std::string::npos,
                   ended.err);
    }
}
