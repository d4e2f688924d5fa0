#include <asyncvm/trace.hpp>

#include <unistd.h>
#include <boost/test/unit_test.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

using namespace asyncvm;

namespace {

struct Recorded {
    Recorded() {
        std::string pattern = (std::filesystem::temp_directory_path() / "recorderXXXXXX").string();
        const int fd = ::mkstemp(pattern.data());
        BOOST_REQUIRE(fd >= 0);
        ::close(fd);
        path = pattern;
        recorder = record_trace({.path = path, .format = TraceFormat::json, .cpus = 2});
    }
    ~Recorded() { std::filesystem::remove(path); }

    /// What it has written: "TRACK: PHASE NAME ARGUMENTS", without the end.
    std::vector<std::string> lines() {
        end = recorder->finish();
        std::ifstream file(path);
        std::map<int, std::string> tracks;
        std::vector<std::string> all;
        for (const auto& event : nlohmann::json::parse(file)) {
            const auto phase = event["ph"].get<std::string>();
            const auto name = event.value("name", "");
            if (phase == "M") {
                if (name == "thread_name") tracks[event["tid"]] = event["args"]["name"];
            } else if (phase == "s" || phase == "t" || phase == "f") {
                all.push_back(fmt::format("{}: {} {}", tracks[event["tid"]], phase, event["id"].get<int>()));
            } else {
                const auto arguments = event.contains("args") ? " " + event["args"].dump() : "";
                all.push_back(fmt::format("{}: {} {}{}", tracks[event["tid"]], phase, name, arguments));
            }
        }
        BOOST_REQUIRE(!all.empty());
        BOOST_TEST(all.back() == R"(machine: i trace ends {"lost records":0})");
        all.pop_back();
        return all;
    }
    void expect(const std::vector<std::string>& expected) {
        BOOST_TEST(lines() == expected, boost::test_tools::per_element());
    }

    std::filesystem::path path;
    std::shared_ptr<TraceRecorder> recorder;
    TraceEnd end;
};

Transaction transaction(Space space, Direction direction, std::span<std::byte> data, std::uint8_t size) {
    Transaction made;
    made.space = space;
    made.direction = direction;
    made.address = 0x80;
    made.size = size;
    made.data = data;
    return made;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(recorder)

BOOST_FIXTURE_TEST_CASE(a_vcpus_accesses_are_told_with_what_is_written_and_what_is_read, Recorded) {
    std::array<std::byte, 8> bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}, std::byte{5}};
    for (const auto& [size, count] : {std::pair{1, 1}, {2, 1}, {4, 1}, {8, 1}, {2, 3}}) {
        const auto data = std::span(bytes).first(static_cast<std::size_t>(size * count));
        recorder->exited(1, PortAccess{transaction(Space::port, Direction::write, data, static_cast<std::uint8_t>(size))}, 0);
        recorder->answered(1, transaction(Space::port, Direction::write, data, static_cast<std::uint8_t>(size)));
    }
    recorder->exited(1, MmioAccess{transaction(Space::memory, Direction::read, std::span(bytes).first(1), 1)}, 0);
    recorder->suspended(1);
    recorder->resumed(1);
    recorder->answered(1, transaction(Space::memory, Direction::read, std::span(bytes).first(1), 1));
    recorder->entering(1);
    recorder->exited(1, Halted{}, 0);
    recorder->entering(1);
    recorder->cpu_ended(1);
    expect({
        R"(vCPU 1: B no device write {"port":"0x80","size":1,"value":"0x1"})",
        R"(vCPU 1: E )",
        R"(vCPU 1: B no device write {"port":"0x80","size":2,"value":"0x201"})",
        R"(vCPU 1: E )",
        R"(vCPU 1: B no device write {"port":"0x80","size":4,"value":"0x4030201"})",
        R"(vCPU 1: E )",
        R"(vCPU 1: B no device write {"port":"0x80","size":8,"value":"0x504030201"})",
        R"(vCPU 1: E )",
        R"(vCPU 1: B no device write {"count":3,"port":"0x80","size":2,"value":"0x201"})",
        R"(vCPU 1: E )",
        R"(vCPU 1: B no device read {"address":"0x80","size":1})",
        R"(vCPU 1: B waiting)",
        R"(vCPU 1: E )",
        R"(vCPU 1: E  {"value":"0x1"})",
        R"(vCPU 1: B guest)",
        R"(vCPU 1: E )",
        R"(vCPU 1: i halted)",
        R"(vCPU 1: B guest)",
        R"(vCPU 1: E )",
    });
    BOOST_TEST(end.records == 12U);
    BOOST_TEST(end.bytes == std::filesystem::file_size(path));
    BOOST_TEST(!end.failed);
}

BOOST_FIXTURE_TEST_CASE(the_next_vcpu_that_is_entered_takes_an_interrupts_arrow_once, Recorded) {
    recorder->interrupt(4, true);
    recorder->entering(0);
    recorder->entering(1);
    recorder->interrupt(4, false);
    recorder->message({.address = 0xfee00000, .data = 0x10031});
    recorder->entering(1);
    expect({
        "interrupts: X IRQ 4 raised",
        "interrupts: s 1",
        "vCPU 0: B guest",
        "vCPU 0: f 1",
        "vCPU 1: B guest",
        "interrupts: i IRQ 4 lowered",
        R"(interrupts: X MSI vector 49 {"address":"0xfee00000","data":"0x31"})",
        "interrupts: s 2",
        "vCPU 1: E ",
        "vCPU 1: B guest",
        "vCPU 1: f 2",
        "vCPU 0: E ",
        "vCPU 1: E ",
    });
}

BOOST_FIXTURE_TEST_CASE(bytes_are_told_at_most_once_a_millisecond_and_at_the_end_all_of_them, Recorded) {
    for (int i = 0; i < 100; ++i) recorder->chardev_moved("serial0", Direction::write, 3);
    recorder->chardev_moved("serial0", Direction::read, 5);
    recorder->chardev_moved("serial1", Direction::write, 7);
    const auto all = lines();
    BOOST_TEST(all.front() == R"(: C serial0 output {"bytes":3})");
    BOOST_TEST(std::ranges::count(all, R"(: C serial0 output {"bytes":300})") >= 1);
    BOOST_TEST(std::ranges::count(all, R"(: C serial0 input {"bytes":5})") == 1);
    BOOST_TEST(std::ranges::count(all, R"(: C serial1 output {"bytes":7})") == 1);
}

BOOST_FIXTURE_TEST_CASE(everything_else_has_its_track_and_its_values, Recorded) {
    std::array<std::byte, 4> bytes{std::byte{9}};
    recorder->run_begins({});
    recorder->posted(transaction(Space::port, Direction::write, std::span(bytes).first(2), 1));
    recorder->paused();
    recorder->was_reset();
    recorder->unpaused();
    recorder->chardev("serial0", ChardevEvent::connected);
    recorder->chardev("serial0", ChardevEvent::disconnected);
    recorder->chardev_full("serial0", true);
    recorder->chardev_full("serial0", false);
    recorder->chardev_changed("serial0", "pty:/dev/pts/1");
    recorder->loop_access("sleep", true);
    recorder->loop_access("sleep", false);
    recorder->doorbell("virtio-rng", 3);
    recorder->device_tells("pvpanic", "panic");
    recorder->disk_changed("disk0", "b.img", 512);
    recorder->disk_resized("disk0", 1024);
    recorder->debugger_stopped({.why = "step", .cpu = 1});
    recorder->debugger_goes_on();
    recorder->debugger_stopped({.why = "asked for"});
    recorder->debugger_stopped({.why = "breakpoint", .cpu = 0, .address = 16});
    recorder->run_ended();
    expect({
        "machine: i run begins",
        R"(posted writes: i no device {"count":2,"port":"0x80","size":1,"value":"0x9"})",
        "machine: B paused",
        "machine: i reset",
        "machine: E ",
        "serial0: i client came",
        "serial0: i client left",
        "serial0: B full",
        "serial0: E ",
        R"(serial0: i goes elsewhere {"to":"pty:/dev/pts/1"})",
        "device loop: sleep: B access",
        "device loop: sleep: E ",
        R"(device loop: virtio-rng: i doorbell {"times":3})",
        R"(machine: i panic {"device":"pvpanic"})",
        R"(disk0: i another image {"bytes":512,"image":"b.img"})",
        R"(disk0: i resized {"bytes":1024})",
        R"(machine: i stopped by the debugger {"reason":"step","vCPU":1})",
        "machine: i released by the debugger",
        R"(machine: i stopped by the debugger {"reason":"asked for"})",
        R"(machine: i stopped by the debugger {"address":"0x10","reason":"breakpoint","vCPU":0})",
        "machine: i run ended",
    });
}

BOOST_AUTO_TEST_CASE(the_name_of_the_file_says_the_format) {
    BOOST_TEST((trace_format_of("a.json") == TraceFormat::json));
    BOOST_TEST((trace_format_of("a.json.pftrace") == TraceFormat::perfetto));
}

BOOST_AUTO_TEST_SUITE_END()
