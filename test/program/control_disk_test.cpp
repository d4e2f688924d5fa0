// Disks that are changed by the control socket while a guest uses them.
#define BOOST_TEST_MODULE control_disk
#include "control_vm.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>

#include <sys/resource.h>

using namespace program_test;

namespace {

constexpr std::size_t mebi = 1 << 20;

bool has(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

/// virtio-blk-watch, which prints how large the disk is and the first byte, and writes that byte inverted to the last
/// sector.
struct Watched : TemporaryDirectory {
    explicit Watched(const std::string& accelerator = {}, const std::string& disk_options = {}) {
        write_file(image, std::string(mebi, 'a'));
        write_file(other, std::string(2 * mebi, 'b'));
        std::vector<std::string> all{"--control",
                                     "unix:" + socket,
                                     "--serial",
                                     "null",
                                     "--mode",
                                     "32",
                                     "--disk",
                                     image + disk_options,
                                     guest_path("virtio-blk-watch")};
        // Without KVM the program takes Unicorn by itself.
        if (!accelerator.empty() && why_no_kvm().empty()) all.insert(all.end() - 1, {"--accel", accelerator});
        child = std::make_unique<Child>(asyncvm(all));
        child->wait_for_output("00000800 61\n.");
        peer = std::make_unique<Peer>(socket);
        BOOST_TEST(!peer->line().empty());
        BOOST_TEST(peer->ask(negotiate) == done);
    }

    static std::string resize(std::uint64_t size) {
        return R"({"execute":"block_resize","arguments":{"device":"disk0","size":)" + std::to_string(size) + "}}";
    }
    static std::string change(const std::string& name, const std::string& more = {}) {
        return R"({"execute":"blockdev-change-medium","arguments":{"device":"disk0","filename":")" + name + "\"" + more +
               "}}";
    }
    static std::string refusal(std::string_view text, std::string_view error_class = "GenericError") {
        return R"({"error":{"class":")" + std::string(error_class) + R"(","desc":")" + std::string(text) + "\"}}";
    }
    [[nodiscard]] std::string ask(const std::string& command) const { return peer->ask(command); }
    /// What is on the disk after the end.
    void check_end() {
        BOOST_TEST(ask(resize(512)) == done);
        BOOST_TEST(child->wait().code == 0);
    }

    inline static const std::string done = R"({"return":{}})";
    const std::string image = file("a.img");
    const std::string other = file("b.img");
    const std::string socket = file("control");
    std::unique_ptr<Child> child;
    std::unique_ptr<Peer> peer;
};

/// Empty: guests run on it here, or it is the host's own choice.
std::string why_not(const std::string& accelerator) {
    if (accelerator.empty()) return {};
    const TemporaryDirectory directory;
    write_file(directory.file("halt"), "\xf4");
    const auto tried = run_asyncvm({"--accel", accelerator, directory.file("halt")});
    return tried.code == 0 ? std::string() : tried.err;
}

const std::string last_of_a(512, static_cast<char>(~'a'));
const std::string last_of_b(512, static_cast<char>(~'b'));

}  // namespace

// On this host's KVM, and on the processor that is emulated.
BOOST_DATA_TEST_CASE(a_guest_sees_its_disk_grow_shrink_and_become_another,
                     boost::unit_test::data::make({std::string(), std::string("unicorn")}), accelerator) {
    if (const auto why = why_not(accelerator); !why.empty()) {
        BOOST_TEST_MESSAGE("not tested: " << why);
        return;
    }
    Watched vm(accelerator);
    BOOST_TEST(vm.ask(Watched::resize(2 * mebi)) == Watched::done);
    vm.child->wait_for_output("00001000 61\n.");
    BOOST_TEST(vm.ask(Watched::resize(mebi / 2)) == Watched::done);
    vm.child->wait_for_output("00000400 61\n.");
    BOOST_TEST(vm.ask(Watched::change(vm.other)) == Watched::done);
    vm.child->wait_for_output("00001000 62\n.");
    const auto blocks = vm.ask(R"({"execute":"query-block"})");
    BOOST_TEST(has(blocks, R"("device":"disk0")"), blocks);
    BOOST_TEST(has(blocks, R"("virtual-size":2097152,"filename":")" + vm.other + "\""), blocks);
    BOOST_TEST(vm.child->out() == "00000800 61\n.00001000 61\n.00000400 61\n.00001000 62\n.");
    // It goes on counting: four reads and four writes.
    const auto counts = vm.ask(R"({"execute":"query-blockstats"})");
    BOOST_TEST(has(counts, R"("rd_bytes":2048,"rd_operations":4,)"), counts);
    BOOST_TEST(has(counts, R"("wr_bytes":2048,"wr_operations":4,)"), counts);
    BOOST_TEST(has(counts, R"("wr_highest_offset":2097152)"), counts);
    BOOST_TEST((read_file(vm.image) == std::string(mebi / 2 - 512, 'a') + last_of_a));
    BOOST_TEST((read_file(vm.other) == std::string(2 * mebi - 512, 'b') + last_of_b));
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_guest_that_is_paused_hears_of_it_when_it_goes_on) {
    Watched vm;
    vm.peer->say(R"({"execute":"stop"})");
    BOOST_TEST(vm.peer->event() == R"("STOP"})");
    BOOST_TEST(vm.peer->line() == Watched::done);
    BOOST_TEST(vm.ask(Watched::change(vm.other)) == Watched::done);
    BOOST_TEST(vm.ask(Watched::resize(4 * mebi)) == Watched::done);
    BOOST_TEST(has(vm.ask(R"({"execute":"query-block"})"), R"("virtual-size":4194304)"));
    BOOST_TEST(!has(vm.child->out(), "62"));
    vm.peer->say(R"({"execute":"cont"})");
    BOOST_TEST(vm.peer->event() == R"("RESUME"})");
    BOOST_TEST(vm.peer->line() == Watched::done);
    vm.child->wait_for_output("00002000 62\n.");
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_guest_that_starts_anew_finds_what_is_there_then) {
    Watched vm;
    BOOST_TEST(vm.ask(Watched::change(vm.other)) == Watched::done);
    vm.peer->say(R"({"execute":"system_reset"})");
    BOOST_TEST(vm.peer->event().starts_with(R"("RESET")"));
    BOOST_TEST(vm.peer->line() == Watched::done);
    vm.peer->say(Watched::resize(4 * mebi));
    BOOST_TEST(vm.peer->line() == Watched::done);
    vm.child->wait_for_output("00002000 62\n.");
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(two_clients_at_once_are_served_one_after_the_other) {
    Watched vm;
    Peer& first = *vm.peer;
    Peer other(vm.socket);
    BOOST_TEST(!other.line().empty());
    BOOST_TEST(other.ask(negotiate) == Watched::done);
    for (unsigned round = 0; round < 20; ++round) {
        first.say(Watched::change(round % 2 == 0 ? vm.other : vm.image));
        other.say(Watched::resize((2 + round % 2) * mebi));
        BOOST_TEST(first.line() == Watched::done);
        BOOST_TEST(other.line() == Watched::done);
    }
    BOOST_TEST(first.ask(Watched::resize(8 * mebi)) == Watched::done);
    vm.child->wait_for_output("00004000 61\n.");
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(what_is_refused_changes_nothing) {
    Watched vm;
    const auto absent = vm.file("absent");
    write_file(vm.file("qcow2"), "QFI\xfb" + std::string(4092, '\0'));
    BOOST_TEST(vm.ask(R"({"execute":"block_resize","arguments":{"device":"nope","size":512}})") ==
               Watched::refusal("Cannot find device='nope' nor node-name=''"));
    BOOST_TEST(vm.ask(R"({"execute":"block_resize","arguments":{"node-name":"nope","size":512}})") ==
               Watched::refusal("Cannot find device='' nor node-name='nope'"));
    BOOST_TEST(vm.ask(R"({"execute":"block_resize","arguments":{"device":"disk0"}})") ==
               Watched::refusal("Parameter 'size' is missing"));
    BOOST_TEST(vm.ask(R"({"execute":"block_resize","arguments":{"device":"disk0","size":-1}})") ==
               Watched::refusal("Parameter 'size' expects a >0 size"));
    rlimit before{};
    BOOST_TEST_REQUIRE(::prlimit(vm.child->pid(), RLIMIT_FSIZE, nullptr, &before) == 0);
    const rlimit limit{.rlim_cur = 4 * mebi, .rlim_max = before.rlim_max};
    BOOST_TEST_REQUIRE(::prlimit(vm.child->pid(), RLIMIT_FSIZE, &limit, nullptr) == 0);
    BOOST_TEST(vm.ask(Watched::resize(8 * mebi)) == Watched::refusal("Could not resize file: File too large"));
    BOOST_TEST_REQUIRE(::prlimit(vm.child->pid(), RLIMIT_FSIZE, &before, nullptr) == 0);
    BOOST_TEST(vm.ask(Watched::change(absent)) ==
               Watched::refusal("Could not open '" + absent + "': No such file or directory"));
    BOOST_TEST(has(vm.ask(Watched::change(vm.file("qcow2"))), "It is a qcow2 image"));
    BOOST_TEST(vm.ask(Watched::change(vm.other, R"(,"format":"nope")")) == Watched::refusal("Unknown driver 'nope'"));
    BOOST_TEST(vm.ask(Watched::change(vm.other, R"(,"read-only-mode":"nope")")) ==
               Watched::refusal("Parameter 'read-only-mode' does not accept value 'nope'"));
    BOOST_TEST(has(vm.ask(Watched::change(vm.other, R"(,"read-only-mode":"read-only")")), "The guest was told that it can"));
    BOOST_TEST(vm.ask(R"({"execute":"blockdev-change-medium","arguments":{"id":"nope","filename":"x"}})") ==
               Watched::refusal("Device 'nope' not found", "DeviceNotFound"));
    BOOST_TEST(vm.ask(R"({"execute":"blockdev-change-medium","arguments":{"filename":"x"}})") ==
               Watched::refusal("Need exactly one of 'device' and 'id'"));
    BOOST_TEST(vm.ask(R"({"execute":"blockdev-change-medium","arguments":{"device":"disk0","id":"x","filename":"x"}})") ==
               Watched::refusal("Need exactly one of 'device' and 'id'"));
    BOOST_TEST(has(vm.ask(R"({"execute":"query-block"})"), R"("virtual-size":1048576,"filename":")" + vm.image + "\""));
    BOOST_TEST(vm.ask(Watched::resize(2 * mebi)) == Watched::done);
    vm.child->wait_for_output("00001000 61\n.");
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(a_disk_that_is_read_only_stays_so_and_a_snapshot_is_resized_alone) {
    Watched vm({}, ",snapshot");
    BOOST_TEST(vm.ask(Watched::resize(2 * mebi)) == Watched::done);
    vm.child->wait_for_output("00001000 61\n.");
    BOOST_TEST((read_file(vm.image) == std::string(mebi, 'a')));
    BOOST_TEST(vm.ask(Watched::change(vm.other, R"(,"read-only-mode":"read-write")")) == Watched::done);
    vm.child->wait_for_output("00001000 62\n.");
    BOOST_TEST((read_file(vm.other) == std::string(2 * mebi, 'b')));
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(an_error_of_the_host_is_an_event) {
    Watched vm;
    // The guest may still be about to write for the size of before.
    const rlimit limit{.rlim_cur = 2 * mebi, .rlim_max = RLIM_INFINITY};
    BOOST_TEST(vm.ask(Watched::resize(4 * mebi)) == Watched::done);
    vm.child->wait_for_output("00002000 61\n.");
    BOOST_TEST_REQUIRE(::prlimit(vm.child->pid(), RLIMIT_FSIZE, &limit, nullptr) == 0);
    BOOST_TEST(vm.ask(Watched::change(vm.other)) == Watched::done);
    vm.child->wait_for_output("00001000 62\n.");
    std::filesystem::resize_file(vm.other, 2 * mebi + 512);
    vm.peer->say(Watched::resize(2 * mebi + 512));
    std::string line = vm.peer->line();
    BOOST_TEST(has(line, "File too large") == false, line);
    const auto event = vm.peer->event();
    BOOST_TEST(event ==
               R"("BLOCK_IO_ERROR","data":{"device":"disk0","node-name":"#disk0","operation":"write","action":"report",)"
               R"("nospace":false,"reason":"File too large"}})");
    vm.child->wait_for_output("!");
    vm.check_end();
}

BOOST_AUTO_TEST_CASE(people_change_disks_too) {
    Watched vm;
    const auto human = [&vm](const std::string& line) {
        return vm.ask(R"({"execute":"human-monitor-command","arguments":{"command-line":")" + line + "\"}}");
    };
    BOOST_TEST(human("block_resize disk0 2M") == R"({"return":""})");
    vm.child->wait_for_output("00001000 61\n.");
    BOOST_TEST(human("change disk0 " + vm.other) == R"({"return":""})");
    vm.child->wait_for_output("00001000 62\n.");
    BOOST_TEST(human("info block disk0") == R"({"return":"disk0 (#disk0): )" + vm.other +
                                                R"( (raw)\r\n    Attached to:      /machine/disk[0]\r\n)"
                                                R"(    Cache mode:       writeback\r\n"})");
    BOOST_TEST(human("change disk0") == R"({"return":"change: filename expected\r\n"})");
    BOOST_TEST(human("block_resize nope 1M") == R"({"return":"Error: Cannot find device='nope' nor node-name=''\r\n"})");
    const auto command = [&vm](const std::vector<std::string>& words) {
        std::vector<std::string> all{"ctl", vm.socket};
        all.insert(all.end(), words.begin(), words.end());
        return run_asyncvm(all);
    };
    BOOST_TEST(command({"block_resize", "device=disk0", "size=0x80000"}).code == 0);
    vm.child->wait_for_output("00000400 62\n.");
    BOOST_TEST(has(command({"query-block"}).out, "\"virtual-size\": 524288"));
    BOOST_TEST(command({"block_resize", "device=disk0", "size=0"}).code == 88);
    vm.check_end();
}
