// What the control socket says of disks, and when it tells of their errors.
#define BOOST_TEST_MODULE control_block
#include "../virtio/fake_disk.hpp"

#include "control/block_commands.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::control;
using namespace std::chrono_literals;
using test::FakeDisk;

namespace {

struct Fixture {
    explicit Fixture(std::chrono::milliseconds quiet = 1s) {
        commands = make_block_commands(
            {{"disk0", drive}, {"disk1", second}}, loop,
            [this](std::string_view name, const Json& data) { told.push_back(std::string(name) + " " + to_text(data)); },
            quiet);
    }

    std::shared_ptr<Drive> drive_of(const std::shared_ptr<FakeDisk>& of, const char* spec) {
        return std::make_shared<Drive>(parse_disk_spec(spec), of, loop, Log());
    }
    std::string ask(std::string_view name, const Json& arguments = Json::object()) {
        std::optional<std::string> answer;
        asio::co_spawn(loop, commands->carry_out(*find_command(name), arguments),
                       [&answer](const std::exception_ptr& failure, const std::optional<Json>& json) {
                           try {
                               if (failure) std::rethrow_exception(failure);
                               answer = json ? to_text(*json) : "not of this group";
                           } catch (const std::exception& error) {
                               answer = error.what();
                           }
                       });
        poll();
        return answer.value_or("no answer");
    }
    std::string type(std::string_view line) {
        std::string answer;
        asio::co_spawn(loop, commands->human(line),
                       [&answer](const std::exception_ptr&, const std::optional<std::string>& text) {
                           answer = text.value_or("not of this group");
                       });
        poll();
        return answer;
    }
    void poll() {
        loop.restart();
        loop.poll();
    }
    void write(Drive& to) {
        asio::co_spawn(loop, to.write(0, from), [](const std::exception_ptr&, std::error_code) {});
        poll();
    }
    /// Until there are so many events.
    void wait_for_events(std::size_t count) {
        loop.restart();
        while (told.size() < count && loop.run_one_for(30s) != 0) continue;
        BOOST_TEST_REQUIRE(told.size() == count);
    }

    asio::io_context loop{1};
    std::vector<std::byte> sector = std::vector<std::byte>(512);
    std::array<std::span<const std::byte>, 1> from{std::span<const std::byte>(sector)};
    std::shared_ptr<FakeDisk> disk = std::make_shared<FakeDisk>();
    std::shared_ptr<FakeDisk> second_disk = std::make_shared<FakeDisk>(4096, true);
    std::shared_ptr<Drive> drive = drive_of(disk, "a.img,snapshot,cache=none");
    std::shared_ptr<Drive> second = drive_of(second_disk, "b.img,ro");
    std::vector<std::string> told;
    std::shared_ptr<CommandGroup> commands;
};

struct Quick : Fixture {
    Quick() : Fixture(1ms) {}
};

struct Patient : Fixture {
    Patient() : Fixture(200ms) {}
};

bool has(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

std::string error_event(std::string_view device, std::string_view rest) {
    return "BLOCK_IO_ERROR {\"device\":\"" + std::string(device) + "\",\"node-name\":\"#" + std::string(device) +
           "\",\"operation\":\"write\",\"action\":\"report\"," + std::string(rest) + "}";
}

const std::string full = R"("nospace":true,"reason":"No space left on device")";
const std::string broken = R"("nospace":false,"reason":"Input/output error")";

}  // namespace

// What QEMU 7.2 answers of a raw image, but for the members of its drivers' own.
BOOST_FIXTURE_TEST_CASE(disks_are_described_with_qemus_members, Fixture) {
    const auto all = Json::parse(ask("query-block"));
    BOOST_TEST_REQUIRE(all.size() == 2u);
    for (const char* const name : {"io-status", "device", "locked", "removable", "inserted", "qdev", "type"}) {
        BOOST_TEST(all[0].contains(name), name);
    }
    for (const char* const name :
         {"iops_rd", "detect_zeroes", "image", "iops_wr", "ro", "node-name", "backing_file_depth", "drv", "iops", "bps_wr",
          "write_threshold", "encrypted", "bps", "bps_rd", "cache", "file"}) {
        BOOST_TEST(all[0]["inserted"].contains(name), name);
    }
    BOOST_TEST(to_text(all[0]["inserted"]["cache"]) == R"({"writeback":true,"direct":true,"no-flush":true})");
    BOOST_TEST(to_text(all[0]["inserted"]["image"]) ==
               R"({"virtual-size":65536,"filename":"a.img","format":"raw","dirty-flag":false})");
    BOOST_TEST(all[0]["inserted"]["backing_file"] == "a.img");
    BOOST_TEST(!all[1]["inserted"].contains("backing_file"));
    BOOST_TEST(all[1]["inserted"]["ro"] == true);
    BOOST_TEST(all[1]["qdev"] == "/machine/disk[1]");
    const auto counts = Json::parse(ask("query-blockstats"));
    for (const char* const name : {"unmap_operations",
                                   "unmap_merged",
                                   "flush_total_time_ns",
                                   "wr_highest_offset",
                                   "wr_total_time_ns",
                                   "failed_wr_operations",
                                   "failed_rd_operations",
                                   "wr_merged",
                                   "wr_bytes",
                                   "timed_stats",
                                   "failed_unmap_operations",
                                   "failed_flush_operations",
                                   "account_invalid",
                                   "rd_total_time_ns",
                                   "flush_operations",
                                   "wr_operations",
                                   "unmap_bytes",
                                   "rd_merged",
                                   "rd_bytes",
                                   "unmap_total_time_ns",
                                   "account_failed",
                                   "rd_operations"}) {
        BOOST_TEST(counts[0]["stats"].contains(name), name);
    }
    BOOST_TEST(ask("query-status") == "not of this group");
}

BOOST_FIXTURE_TEST_CASE(what_has_been_done_is_counted_by_its_kind, Fixture) {
    write(*drive);
    asio::co_spawn(loop, drive->discard(0, 1024), [](const std::exception_ptr&, std::error_code) {});
    poll();
    const auto stats = Json::parse(ask("query-blockstats"))[0]["stats"];
    BOOST_TEST(stats["wr_operations"] == 1);
    BOOST_TEST(stats["wr_total_time_ns"] > 0);
    BOOST_TEST(stats["wr_highest_offset"] == 512);
    BOOST_TEST(stats["unmap_operations"] == 1);
    BOOST_TEST(stats["unmap_bytes"] == 1024);
    BOOST_TEST(!stats.contains("flush_bytes"));
    const auto all = Json::parse(ask("query-block"));
    BOOST_TEST(all[0]["inserted"]["backing_file_depth"] == 1);
    BOOST_TEST(all[1]["inserted"]["backing_file_depth"] == 0);
}

BOOST_FIXTURE_TEST_CASE(a_line_shows_one_disk_or_all, Fixture) {
    const std::string first =
        "disk0 (#disk0): a.img (raw)\r\n    Attached to:      /machine/disk[0]\r\n"
        "    Cache mode:       writeback, direct, ignore flushes\r\n    Backing file:     a.img (chain depth: 1)\r\n";
    const std::string other =
        "disk1 (#disk1): b.img (raw, read-only)\r\n    Attached to:      /machine/disk[1]\r\n"
        "    Cache mode:       writeback\r\n";
    const std::string images = "\r\nImages:\r\nimage: b.img\r\nfile format: raw\r\nvirtual size: 4 KiB (4096 bytes)\r\n";
    BOOST_TEST(type("info block") == first + "\r\n" + other);
    BOOST_TEST(type("info block disk1") == other);
    BOOST_TEST(type("info block -v disk1") == other + images);
    BOOST_TEST(type("info block -v").ends_with("\r\n" + other + images));
    BOOST_TEST(type("block_resize disk0 1024b") == "");
    BOOST_TEST(has(type("info block -v disk0"), "virtual size: 1 KiB (1024 bytes)"));
    BOOST_TEST(has(type("info blockstats"), "disk1: rd_bytes=0"));
    BOOST_TEST(type("info blockstats disk0") == "not of this group");
    BOOST_TEST(has(type("change disk0 /nowhere raw retain"), "Could not open '/nowhere'"));
}

BOOST_FIXTURE_TEST_CASE(after_a_quiet_time_nothing_is_told_and_the_next_error_at_once, Quick) {
    disk->error = std::make_error_code(std::errc::io_error);
    write(*drive);
    loop.restart();
    loop.run();  // until the timer has come
    BOOST_TEST(told.size() == 1u);
    write(*drive);
    BOOST_TEST(told.size() == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_disk_has_several_names, Fixture) {
    BOOST_TEST(ask("block_resize", {{"device", "disk0"}, {"size", 8192}}) == "{}");
    BOOST_TEST(ask("block_resize", {{"node-name", "#disk0"}, {"size", 4096}}) == "{}");
    BOOST_TEST(disk->bytes.size() == 4096u);
    // As in QEMU: the node does not matter where there is a device.
    BOOST_TEST(ask("block_resize", {{"device", "disk0"}, {"node-name", "nope"}, {"size", 512}}) == "{}");
    BOOST_TEST(ask("block_resize", {{"size", 512}}) == "Cannot find device='' nor node-name=''");
    BOOST_TEST(ask("block_resize", {{"device", "disk1"}, {"size", 512}}) == "Image is read-only");
    BOOST_TEST(has(ask("blockdev-change-medium", {{"id", "/machine/disk[1]"}, {"filename", "/nowhere"}}),
                   "Could not open '/nowhere': No such file"));
}

BOOST_FIXTURE_TEST_CASE(an_error_is_told_at_once_and_the_last_of_those_that_follow_later, Quick) {
    disk->error = std::make_error_code(std::errc::no_space_on_device);
    write(*drive);
    BOOST_TEST_REQUIRE(told.size() == 1u);
    BOOST_TEST(told[0] == error_event("disk0", full));
    BOOST_TEST(has(ask("query-block"), R"("io-status":"nospace","device":"disk0")"));
    wait_for_events(1);
    // With a long time between, only the first one comes.
    Fixture slow;
    slow.disk->error = std::make_error_code(std::errc::io_error);
    for (int i = 0; i < 5; ++i) slow.write(*slow.drive);
    BOOST_TEST(slow.told.size() == 1u);
    // Each disk has a time of its own.
    slow.second_disk->error = std::make_error_code(std::errc::io_error);
    slow.write(*slow.second);
    BOOST_TEST_REQUIRE(slow.told.size() == 2u);
    BOOST_TEST(slow.told[1] == error_event("disk1", broken));
    BOOST_TEST(has(slow.ask("query-block"), R"("io-status":"failed","device":"disk0")"));
    slow.disk->error = {};
    slow.write(*slow.drive);
    BOOST_TEST(has(slow.ask("query-block"), R"("io-status":"ok","device":"disk0")"));
    BOOST_TEST(has(slow.ask("query-blockstats"), R"("failed_wr_operations":5)"));
}

BOOST_FIXTURE_TEST_CASE(what_was_held_back_is_told_when_the_time_has_passed, Patient) {
    disk->error = std::make_error_code(std::errc::io_error);
    const std::array to{std::span(sector)};
    const auto ended = [](const std::exception_ptr&, std::error_code) {};
    asio::co_spawn(loop, drive->write(0, from), ended);
    asio::co_spawn(loop, drive->write(0, from), ended);
    asio::co_spawn(loop, drive->read(0, to), ended);
    poll();
    BOOST_TEST(told.size() == 1u);
    wait_for_events(2);
    BOOST_TEST(told[0] == error_event("disk0", broken));
    BOOST_TEST(has(told[1], "\"operation\":\"read\""), told[1]);
    // The requests of a drive that is left behind disturb nobody.
    commands.reset();
    write(*drive);
    BOOST_TEST(told.size() == 2u);
}
