// A device recorded under a real guest, and played back to that guest and to others.
#define BOOST_TEST_MODULE record
#include "harness.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <csignal>

using namespace program_test;
namespace utf = boost::unit_test;

namespace {

/// mov dx, 0x3f8; N times: in al, 0x10; add al, 'a'; out dx, al; and hlt
std::string counting_guest(unsigned reads) {
    std::string code = guest_code("\xba\xf8\x03");
    for (; reads > 0; --reads)
        code += guest_code(
            "\xe4\x10\x04"
            "a"
            "\xee");
    return code + halting_guest;
}

struct Files : TemporaryDirectory {
    Ended run(std::vector<std::string> arguments) const {
        arguments.push_back(guest);
        // Chosen, it is not worth a line.
        if (!why_no_kvm().empty()) arguments.insert(arguments.end(), {"--accel", "unicorn"});
        return run_asyncvm(std::move(arguments));
    }

    std::string recorded() const { return read_file(recording); }

    std::string guest = file("guest");
    std::string recording = file("recording");
    std::string record = "record=" + recording;
    std::string replay = "replay=" + recording;
};

boost::test_tools::assertion_result has_kvm(utf::test_unit_id) {
    boost::test_tools::assertion_result usable(why_no_kvm().empty());
    usable.message() << why_no_kvm();
    return usable;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(recordings, Files)

BOOST_AUTO_TEST_CASE(a_guest_gets_the_same_without_the_device) {
    write_file(guest, counting_guest(3));
    BOOST_TEST(run({"--device", record + ",counter,chardev=null"}).out == "abc");
    BOOST_TEST(recorded().starts_with("asyncvm-recording 1\ndevice counter\nwidth 8\nplace port 0x10 1 whole\n"),
               recorded());
    BOOST_TEST(std::ranges::count(recorded(), '\n') == 4 + 6);
    BOOST_TEST(recorded().find(" done 0x2\n") != std::string::npos);
    // Where other answers are recorded, other answers are given: nobody counts.
    auto text = recorded();
    text.replace(text.find("done 0x2"), 8, "done 0x9");
    write_file(recording, text);
    for (const auto* const timing : {"off", "on"}) {
        const auto ended = run({"--device", replay + ",strict=on,timing=" + timing});
        BOOST_TEST(ended.out == "abj");
        BOOST_TEST(ended.err == "");
        BOOST_TEST(ended.code == 0);
    }
}

BOOST_AUTO_TEST_CASE(it_takes_the_place_of_the_default_device_and_no_other) {
    write_file(guest, counting_guest(1));
    BOOST_TEST(run({"--device", record + ",counter,port=0x20,chardev=null"}).out == "`");
    // At its port there is nobody now; the recording is at the other one.
    const auto ended = run({"--device", replay});
    BOOST_TEST(ended.out == "`");
    BOOST_TEST(ended.err == "");
    BOOST_TEST(run({"--device", replay, "--device", "counter"}).out == "a");
}

BOOST_AUTO_TEST_CASE(a_changed_guest_is_told_where_it_differs) {
    write_file(guest, counting_guest(2));
    BOOST_TEST(run({"--device", record + ",counter,chardev=null"}).code == 0);
    const auto where = "the guest differs from the recording at " + recording;
    // in al, 0x10; out 0x10, al
    write_file(guest, guest_code("\xe4\x10\xe6\x10\xba\xf8\x03\xe4\x10\x04"
                                 "a"
                                 "\xee\xf4"));
    const auto wrote = run({"--device", replay});
    BOOST_TEST(wrote.err == "asyncvm: " + where +
                                ":7: expected 'read port 0x10 1', found 'write port 0x10 1 0x0' (the write is "
                                "ignored; further differences are not told)\n");
    BOOST_TEST(wrote.out == "b");
    BOOST_TEST(wrote.code == 0);
    const auto strict = run({"--device", replay + ",strict=on"});
    BOOST_TEST(strict.code == 90);
    BOOST_TEST(strict.err.starts_with("asyncvm: " + where + ":7: expected"), strict.err);
    write_file(guest, counting_guest(3));
    const auto more = run({"--device", replay});
    BOOST_TEST(more.out == "ab`");
    BOOST_TEST(more.err.find(where + ":8: expected 'nothing more', found 'read port 0x10 1' (it reads all-ones") !=
                   std::string::npos,
               more.err);
    write_file(guest, counting_guest(1));
    const auto less = run({"--device", replay});
    BOOST_TEST(less.out == "a");
    BOOST_TEST(less.err ==
               "asyncvm: the guest ended before the recording did: " + recording + ":7 has 'read port 0x10 1'\n");
}

BOOST_AUTO_TEST_CASE(interrupts_come_where_they_came, *utf::precondition(has_kvm)) {
    const std::vector<std::string> machine{"--irqchip", "on", "--no-defaults"};
    auto arguments = machine;
    arguments.insert(arguments.end(), {"--device", record + ",uart16550,irq=4,chardev=stdio", guest_path("irq-echo")});
    const auto first = run_asyncvm(arguments, "Mixed\x04");
    BOOST_TEST(first.out == "MIXED");
    BOOST_TEST(recorded().find(" irq 4 high\n") != std::string::npos, recorded());
    for (const auto* const timing : {"off", "on"}) {
        auto again = machine;
        again.insert(again.end(), {"--device", replay + ",strict=on,timing=" + timing, guest_path("irq-echo")});
        const auto ended = run_asyncvm(again);
        BOOST_TEST(ended.code == 0, ended.err);
        BOOST_TEST(ended.err == "");
    }
}

BOOST_AUTO_TEST_CASE(posted_writes_are_recorded_in_their_order) {
    // mov cx, 2000; again: mov ax, cx; out 0x80, al; loop again; in al, 0x80; hlt
    write_file(guest, guest_code("\xb9\xd0\x07\x89\xc8\xe6\x80\xe2\xfa\xe4\x80\xf4"));
    BOOST_TEST(run({"--device", record + ",post"}).code == 0);
    BOOST_TEST(std::ranges::count(recorded(), '\n') == 4 + 2 * 2001);
    const auto ended = run({"--device", replay + ",strict=on"});
    BOOST_TEST(ended.code == 0, ended.err);
}

BOOST_AUTO_TEST_CASE(nothing_is_lost_when_the_guest_crashes_or_the_program_is_killed) {
    // In flat 32-bit mode without an IDT: out 0x10, al; ud2
    write_file(guest, guest_code("\xe6\x10\x0f\x0b"));
    BOOST_TEST(run({"--mode", "32", "--device", record + ",counter,chardev=null"}).code == 80);
    BOOST_TEST(recorded().ends_with(" done\n"));
    // out 0x10, al; and then as the spinning guest
    write_file(guest, guest_code("\xe6\x10") + spinning_guest);
    Child child(asyncvm({"--device", record + ",counter,chardev=null", guest}));
    child.wait_for_output("S");
    child.send_signal(SIGKILL);
    BOOST_TEST(child.wait().killed);
    BOOST_TEST(std::ranges::count(recorded(), '\n') == 4 + 2);
    write_file(guest, guest_code("\xe6\x10\xf4"));
    BOOST_TEST(run({"--device", replay + ",strict=on"}).code == 0);
}

BOOST_AUTO_TEST_CASE(mistakes_are_told_before_anything_starts) {
    const auto refused = [](const std::string& device, const std::string& message, int code = 64) {
        const auto ended = run_asyncvm({"--device", device, guest_path("sum")});
        BOOST_TEST(ended.code == code, ended.err);
        BOOST_TEST(ended.err.find(message) != std::string::npos, ended.err);
    };
    refused("record=f", "the file and the device to record are --device record=FILE,NAME");
    refused("record=,counter", "the file and the device to record are");
    refused("record=f,counter,chardv=null", "did you mean chardev?");
    refused("replay", "it needs a recording (--device replay=FILE)");
    refused("replay=" + file("missing"), "cannot read the recording " + file("missing") + ": no such file or directory");
    refused("replay=/", "it is no file");
    write_file(recording, "asyncvm-recording 1\ndevice d\nplace port 1 1\n");
    refused(replay + ",port=1", "device replay has no option port");
    write_file(recording, "hello\n");
    refused(replay, recording + ":1: this is no recording");
    refused("record=" + file("no/where") + ",counter,chardev=null", "cannot record counter in ", 72);
    // Nothing has been made or emptied.
    BOOST_TEST(run_asyncvm({"--device", record + ",counter", "--device", "nonsense", "g"}).code == 64);
    BOOST_TEST(recorded() == "hello\n");
}

BOOST_AUTO_TEST_SUITE_END()
