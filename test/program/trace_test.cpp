// --trace: the timeline of real guests.
#define BOOST_TEST_MODULE program_trace
#include "client.hpp"
#include "control_vm.hpp"
#include "small_guests.hpp"
#include "trace_reading.hpp"

#include <csignal>
#include <filesystem>
#include <memory>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

struct Files : TemporaryDirectory {
    Files() { write_file(file("guest"), serial_guest); }
    [[nodiscard]] std::string so_far() const { return std::filesystem::exists(trace) ? read_file(trace) : std::string(); }
    std::string trace = file("trace.json");
    std::string guest = file("guest");
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(each_exit_is_the_end_of_one_slice_and_the_begin_of_another, Files) {
    const auto ended = run_asyncvm({"--trace", trace, guest});
    BOOST_TEST(ended.code == 0);
    BOOST_TEST(ended.err == "");
    const ReadTrace read(trace);
    const auto& slices = read.track("vCPU 0").slices;
    BOOST_TEST_REQUIRE(slices.size() == 3U);
    BOOST_TEST(slices[0].name == "guest");
    BOOST_TEST(slices[1].name == "uart16550 write");
    BOOST_TEST(slices[1].arguments == nlohmann::json::parse(R"({"port": "0x3f8", "size": 1, "value": "0x48"})"));
    BOOST_TEST(slices[1].begin == slices[0].end);
    BOOST_TEST(slices[2].begin == slices[1].end);
    for (const auto& slice : slices) BOOST_TEST(slice.depth == 1U);
    BOOST_TEST(read.instants("vCPU 0", "halted") == 1);
    BOOST_TEST(read.track("serial0 output").others.back()["args"]["bytes"] == 1);
    BOOST_TEST(read.instants("machine", "run begins") == 1);
    BOOST_TEST(read.instants("machine", "run ended") == 1);
    BOOST_TEST(read.track("machine").others.back()["args"]["lost records"] == 0);
    BOOST_TEST(!read.cut);
}

BOOST_FIXTURE_TEST_CASE(a_guest_that_sleeps_waits_in_its_access, Files) {
    BOOST_TEST(run_asyncvm({"--trace", trace, guest_path("sleep")}).code == 0);
    const ReadTrace read(trace);
    const auto access = read.slices("vCPU 0", "sleep write");
    const auto waiting = read.slices("vCPU 0", "waiting");
    BOOST_TEST_REQUIRE(access.size() == 1U);
    double waited = 0;
    for (const auto& wait : waiting) {
        BOOST_TEST(wait.depth == 2U);
        BOOST_TEST(wait.begin >= access[0].begin);
        BOOST_TEST(wait.end <= access[0].end);
        waited += wait.end - wait.begin;
    }
    // On a slow host the device begins to sleep some time before its vCPU is said to wait.
    BOOST_TEST(waited > 0.0);
    BOOST_TEST(waited <= access[0].end - access[0].begin);
    BOOST_TEST(access[0].end - access[0].begin >= 99'000.0);
}

BOOST_FIXTURE_TEST_CASE(an_arrow_leads_from_the_interrupt_to_the_guest_that_goes_on, Files) {
    Child child(asyncvm({"--irqchip", "on", "--trace", trace, guest_path("irq-echo")}));
    child.type("x");
    child.wait_for_output("X");
    child.type("\x04");
    if (child.wait().code == 72) {
        BOOST_TEST_MESSAGE("skipped: this KVM has no interrupt controller");
        return;
    }
    const ReadTrace read(trace);
    BOOST_TEST(read.instants("interrupts", "IRQ 4 raised") >= 2);
    BOOST_TEST(read.instants("interrupts", "IRQ 4 lowered") >= 2);
    BOOST_TEST(read.arrows >= 2U);
    BOOST_TEST(read.track("serial0 input").others.back()["args"]["bytes"] == 2);
}

BOOST_FIXTURE_TEST_CASE(a_stream_that_nobody_takes_is_full_on_its_track_until_a_client_comes, Files) {
    write_file(guest, chattering_guest);
    const auto socket = file("serial");
    Child child(asyncvm({"--trace", trace, "--serial", "unix:" + socket + ",backlog=4K", "-v", guest}));
    child.wait_for_error("listens");
    // Without a client nothing but the queue takes output: the vCPU soon waits for room.
    child.wait_until("the stream is full in the trace",
                     [&] { return so_far().find("\"name\":\"full\"") != std::string::npos; });
    auto client = std::make_unique<UnixClient>(socket);
    BOOST_TEST(client->wait_for_data());
    client.reset();
    child.wait_until("the client's end in the trace",
                     [&] { return so_far().find("\"name\":\"client left\"") != std::string::npos; });
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
    const ReadTrace read(trace);
    BOOST_TEST(!read.slices("serial0", "full").empty());
    BOOST_TEST(read.instants("serial0", "client came") == 1);
    BOOST_TEST(!read.slices("vCPU 0", "waiting").empty());
}

BOOST_FIXTURE_TEST_CASE(what_the_control_socket_exchanges_is_told_on_its_track, Files) {
    const auto image = file("a.img");
    const auto other = file("b.img");
    const auto out = file("out");
    write_file(image, std::string(4096, 'a'));
    write_file(other, std::string(8192, 'b'));
    Running vm(spinning_guest, {"--disk", image, "--trace", trace});
    const auto ask = [&vm](const std::string& command, const std::string& arguments) {
        return vm.peer->ask(R"({"execute":")" + command + R"(","arguments":{)" + arguments + "}}");
    };
    BOOST_TEST(ask("chardev-change", R"("id":"serial0","spec":"file:)" + out + '"') == R"({"return":{}})");
    BOOST_TEST(ask("blockdev-change-medium", R"("device":"disk0","filename":")" + other + '"') == R"({"return":{}})");
    BOOST_TEST(ask("block_resize", R"("device":"disk0","size":512)") == R"({"return":{}})");
    vm.peer->say(R"({"execute":"quit"})");
    BOOST_TEST(vm.child->wait().code == 0);
    const ReadTrace read(trace);
    const auto& serial = read.track("serial0").others;
    BOOST_TEST_REQUIRE(serial.size() == 1U);
    BOOST_TEST(serial[0]["name"] == "goes elsewhere");
    BOOST_TEST(serial[0]["args"] == nlohmann::json({{"to", "file:" + out}}));
    const auto& disk = read.track("disk0").others;
    BOOST_TEST_REQUIRE(disk.size() == 2U);
    BOOST_TEST(disk[0]["name"] == "another image");
    BOOST_TEST(disk[0]["args"] == nlohmann::json({{"bytes", 8192}, {"image", other}}));
    BOOST_TEST(disk[1]["name"] == "resized");
    BOOST_TEST(disk[1]["args"] == nlohmann::json({{"bytes", 512}}));
    const auto told = run_asyncvm({"trace", trace});
    for (const auto& words : {"goes elsewhere: to file:" + out + '\n', "another image: bytes 8192, image " + other + '\n',
                              std::string("resized: bytes 512\n")})
        BOOST_TEST(told.out.find(words) != std::string::npos, told.out);
}

BOOST_FIXTURE_TEST_CASE(a_kernel_that_panics_says_so_to_the_machines_track, Files) {
    // mov dx, 0x505; mov al, 1; out dx, al; hlt
    write_file(guest, guest_code("\xba\x05\x05\xb0\x01\xee\xf4"));
    BOOST_TEST(run_asyncvm({"--device", "pvpanic", "--trace", trace, guest}).code == 84);
    const ReadTrace read(trace);
    BOOST_TEST(read.instants("machine", "the guest's kernel panicked") == 1);
}

BOOST_FIXTURE_TEST_CASE(a_machine_of_several_vcpus_has_a_track_for_each, Files) {
    BOOST_TEST(run_asyncvm({"--cpus", "4", "--trace", trace, guest_path("smp")}).code == 0);
    const ReadTrace read(trace);
    for (const auto* const track : {"vCPU 0", "vCPU 1", "vCPU 2", "vCPU 3"})
        BOOST_TEST(!read.slices(track, "guest").empty());
}

BOOST_FIXTURE_TEST_CASE(posted_writes_are_told_where_they_are_delivered, Files) {
    // mov cx, 2000; again: out 0x80, al; loop again; hlt
    write_file(guest, guest_code("\xb9\xd0\x07\xe6\x80\xe2\xfc\xf4"));
    BOOST_TEST(run_asyncvm({"--trace", trace, guest}).code == 0);
    const ReadTrace read(trace);
    const auto exits = read.slices("vCPU 0", "post write").size();
    std::size_t posted = 0;
    if (read.tracks.contains("posted writes")) {
        for (const auto& event : read.track("posted writes").others)
            posted += event["args"].contains("count") ? event["args"]["count"].get<std::size_t>() : 1;
    }
    BOOST_TEST(exits + posted == 2000U);
}

BOOST_FIXTURE_TEST_CASE(doorbells_are_heard_on_the_device_loop, Files) {
    BOOST_TEST(run_asyncvm({"--mode", "32", "--rng", "--trace", trace, guest_path("virtio-rng")}).code == 0);
    const ReadTrace read(trace);
    BOOST_TEST(read.instants("device loop: virtio-rng", "doorbell") >= 1);
}

BOOST_FIXTURE_TEST_CASE(a_program_that_is_killed_leaves_a_trace_that_can_be_read, Files) {
    write_file(guest, chattering_guest);
    Child child(asyncvm({"--trace", trace, "--serial", "null", guest}));
    child.wait_until("something in the trace", [&] { return so_far().size() > 100'000; });
    child.send_signal(SIGKILL);
    BOOST_TEST(child.wait().killed);
    const ReadTrace read(trace);
    BOOST_TEST(read.cut);
    BOOST_TEST(read.slices("vCPU 0", "uart16550 write").size() > 100U);
}

BOOST_FIXTURE_TEST_CASE(a_full_disk_ends_the_trace_and_not_the_guest, Files) {
    write_file(guest, chattering_guest);
    const auto full = std::string("/dev/full");
    Child child(asyncvm({"--trace", full, "-v", guest}));
    child.wait_for_error("cannot write the trace /dev/full: no space left on device (it ends here; the guest goes on)");
    const auto printed = child.out().size();
    child.wait_until("the guest goes on", [&] { return child.out().size() > printed; });
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
    const auto& err = child.err();
    BOOST_TEST(err.find("trace", err.find("goes on")) == std::string::npos, err);
}

BOOST_FIXTURE_TEST_CASE(a_trace_that_cannot_be_written_is_told_before_the_guest_runs, Files) {
    const auto nowhere = file("no/trace");
    const auto ended = run_asyncvm({"--trace", nowhere, guest});
    BOOST_TEST(ended.code == 72);
    BOOST_TEST(ended.out == "");
    BOOST_TEST(ended.err == "asyncvm: cannot write the trace " + nowhere + ": no such file or directory\n");
    // A mistake in the options leaves an older trace as it is.
    write_file(trace, "old");
    BOOST_TEST(run_asyncvm({"--trace", trace, "--serial", "nonsense", guest}).code == 64);
    BOOST_TEST(read_file(trace) == "old");
}

BOOST_FIXTURE_TEST_CASE(the_program_itself_tells_what_a_trace_has, Files) {
    const auto recorded = file("run.pftrace");
    const auto svg = file("run.svg");
    for (const auto& path : {trace, recorded}) {
        BOOST_TEST(run_asyncvm({"--trace", path, guest_path("sleep")}).code == 0);
        const auto told = run_asyncvm({"trace", path});
        BOOST_TEST(told.code == 0);
        for (const auto* const words : {"\nvCPU 0 ", "\nsleep write ", "\nlongest waits ", "vCPU 0, port 0xf2\n"})
            BOOST_TEST(told.out.find(words) != std::string::npos, told.out);
        BOOST_TEST(told.out.find("can't be understood") == std::string::npos, told.out);
    }
    BOOST_TEST(run_asyncvm({"trace", recorded, "--svg", svg, "--from", "0", "--to", "3600"}).code == 0);
    BOOST_TEST(read_file(svg).ends_with("</svg>\n"));
    BOOST_TEST(run_asyncvm({"trace", recorded, "--svg", "-", "--from", "0", "--to", "3600"}).out == read_file(svg));
    BOOST_TEST(run_asyncvm({"trace", "-"}, read_file(recorded)).out == run_asyncvm({"trace", recorded}).out);
    BOOST_TEST(run_asyncvm({"trace", recorded, "--svg", svg, "--from", "2", "--to", "1"}).code == 64);
    BOOST_TEST(run_asyncvm({"trace", recorded, "--what"}).code == 64);
    BOOST_TEST(run_asyncvm({"trace"}).code == 64);
    BOOST_TEST(run_asyncvm({"trace", guest}).code == 66);
    BOOST_TEST(run_asyncvm({"trace", file("nowhere")}).code == 66);
    BOOST_TEST(run_asyncvm({"trace", recorded, "--svg", file("no/picture")}).code == 72);
}

BOOST_FIXTURE_TEST_CASE(without_kvm_there_is_the_same_trace, Files) {
    const auto ended = run_asyncvm({"--accel", "unicorn", "--trace", trace, guest});
    if (ended.code == 72) {
        BOOST_TEST_MESSAGE("skipped: no Unicorn here");
        return;
    }
    BOOST_TEST(ReadTrace(trace).slices("vCPU 0", "uart16550 write").size() == 1U);
}
