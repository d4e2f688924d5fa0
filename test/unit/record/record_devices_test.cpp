// A device that is recorded, and the recording in its place.
#define BOOST_TEST_MODULE record_devices
#include <asyncvm/devices.hpp>
#include <asyncvm/error.hpp>
#include <asyncvm/state.hpp>

#include <boost/test/unit_test.hpp>

#include "bus/io_bus.hpp"
#include "device_runner.hpp"
#include "record/player.hpp"
#include "record/recorder.hpp"
#include "surroundings.hpp"
#include "trial_devices.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

using namespace asyncvm;
using namespace std::chrono_literals;

namespace {

struct Fixture : DeviceRunner {
    Fixture() {
        std::string name = (std::filesystem::temp_directory_path() / "record-XXXXXX").string();
        folder = ::mkdtemp(name.data());
        path = folder + "/recording";
    }
    ~Fixture() {
        end_background();
        std::filesystem::remove_all(folder);
    }

    void background(const std::shared_ptr<Device>& device) {
        asio::co_spawn(loop, device->run(),
                       asio::bind_cancellation_slot(ended.slot(), [device](const std::exception_ptr&) {}));
    }

    void end_background() {
        ended.emit(asio::cancellation_type::terminal);
        loop.restart();
        loop.poll();
    }

    /// Background work on a thread of its own while the guest reads 0, 1, 2, … on this one.
    void read_beside(const std::shared_ptr<Device>& device, unsigned count) {
        background(device);
        auto guard = asio::make_work_guard(loop);
        std::thread thread([this] { loop.run(); });
        for (unsigned i = 0; i < count; ++i) BOOST_TEST_REQUIRE(read(*device, make_access(0x300, 4)) == i);
        guard.reset();
        asio::post(loop, [this] { ended.emit(asio::cancellation_type::terminal); });
        thread.join();
        loop.restart();
    }

    DeviceContext context() {
        auto context = around.context();
        context.interrupts = &messages;
        context.log = [this](std::string_view line) { lines.emplace_back(line); };
        return context;
    }

    std::shared_ptr<Device> record() {
        auto recorder = record::make_recorder(std::make_shared<Trial>(), path,
                                              {{.space = Space::port, .range = {.first = 0x300, .size = 8}}});
        recorder->attached(context());
        return recorder;
    }

    /// The device that a recording makes, attached. `options`: timing, strict.
    std::shared_ptr<Device> play(std::vector<std::pair<std::string, std::string>> options = {}) {
        options.emplace_back("file", path);
        const DeviceRequest request{.name = "replay", .options = std::move(options)};
        const DeviceHost host{ports, mmio, [this](Outcome outcome) { outcomes.push_back(std::move(outcome)); }, {}};
        auto player = record::replay_kind.make(DeviceOptions(request), host);
        player->attached(context());
        return player;
    }

    /// A write that takes as long as it says.
    void write_at(Device& device, std::uint64_t port, std::uint64_t value) {
        const Access access = make_access(port, 1, value);
        start(device.write(access));
        poll();
        around.clock.advance(std::chrono::nanoseconds(value));
        poll();
        BOOST_TEST(done());
    }

    std::string text() const {
        std::ifstream file(path);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    asio::io_context loop{1};
    asio::cancellation_signal ended;
    Surroundings around{loop};
    Messages messages;
    std::shared_ptr<DeviceSlots> slots = std::make_shared<DeviceSlots>(loop, Log());
    IoBus ports{Space::port, slots};
    IoBus mmio{Space::memory, slots};
    std::vector<std::string> lines;
    std::vector<Outcome> outcomes;
    std::string folder;
    std::string path;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(record_devices, Fixture)

BOOST_AUTO_TEST_CASE(the_file_has_what_happened_as_soon_as_it_has) {
    const auto device = record();
    const std::string head = "asyncvm-recording 1\ndevice trial\nwidth 4\nplace port 0x300 8\ndoorbell 0 0x4 2\n";
    BOOST_TEST(text() == head);
    BOOST_TEST(read(*device, make_access(0x300, 2)) == 1u);
    BOOST_TEST(text() == head + "0 read port 0x300 2\n0 done 0x1\n");
    write_at(*device, 0x301, 20);
    around.clock.advance(5ns);
    BOOST_CHECK_THROW(write(*device, make_access(0x301, 1, 0)), std::runtime_error);
    finish(device->rung(0));
    device->reset();
    BOOST_TEST(text() == head +
                             "0 read port 0x300 2\n0 done 0x1\n"
                             "0 write port 0x301 1 0x14\n20 irq 5 high\n20 done\n"
                             "25 write port 0x301 1 0x0\n25 failed nothing to do\n"
                             "25 ring 0\n25 msi 0xfee00000 0x41\n25 reset\n");
    BOOST_TEST(around.pins[5].rising == 1u);
    BOOST_TEST(messages.sent.size() == 1u);
    BOOST_TEST(device->name() == "trial");
    BOOST_TEST(device->max_access_size() == 4u);
    BOOST_TEST(device->doorbells().size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_cancelled_access_is_recorded_as_that) {
    const auto device = record();
    const Access access = make_access(0x301, 1, 20);
    start(device->write(access));
    poll();
    cancel();
    poll();
    BOOST_TEST(failed());
    BOOST_TEST(text().ends_with("0 write port 0x301 1 0x14\n0 cancelled\n"));
}

BOOST_AUTO_TEST_CASE(the_recording_does_the_same) {
    {
        const auto device = record();
        static_cast<void>(read(*device, make_access(0x300, 2)));
        write_at(*device, 0x301, 20);
        finish(device->rung(0));
        write_at(*device, 0x301, 30);
        static_cast<void>(read(*device, make_access(0x300, 1)));
    }
    const auto recorded = around.pins[5].rising;
    BOOST_TEST(recorded == 2u);
    const auto device = play();
    BOOST_TEST(device->name() == "trial");
    BOOST_TEST(device->max_access_size() == 4u);
    BOOST_TEST(ports.device_name(0x307) == "trial");
    BOOST_TEST(messages.expected);
    BOOST_TEST(read(*device, make_access(0x300, 2)) == 1u);
    write(*device, make_access(0x301, 1, 20));
    BOOST_TEST(around.pins[5].rising == recorded + 1);
    write(*device, make_access(0x304, 2, 77));
    BOOST_TEST(messages.sent.size() == 2u);
    write(*device, make_access(0x301, 1, 30));
    BOOST_TEST(around.pins[5].rising == recorded + 2);
    BOOST_TEST(around.pins[5].falling == recorded + 1);
    BOOST_TEST(read(*device, make_access(0x300, 1)) == 2u);
    BOOST_TEST(lines.empty());
}

BOOST_AUTO_TEST_CASE(with_timing_answers_and_interrupts_come_as_late_as_they_did) {
    std::ofstream(path) << "asyncvm-recording 1\ndevice d\nplace port 0x300 1\n"
                           "100 write port 0x300 1 0x1\n130 done\n150 irq 4 high\n200 write port 0x300 1 0x2\n210 done\n";
    const auto device = play({{"timing", "on"}});
    background(device);
    loop.poll();
    const Access first = make_access(0x300, 1, 1);
    start(device->write(first));
    poll();
    around.clock.advance(29ns);
    poll();
    BOOST_TEST(!done());
    around.clock.advance(1ns);
    poll();
    BOOST_TEST(done());
    loop.poll();
    BOOST_TEST(around.pins[4].rising == 0u);
    around.clock.advance(19ns);
    loop.poll();
    BOOST_TEST(around.pins[4].rising == 0u);
    around.clock.advance(1ns);
    loop.poll();
    BOOST_TEST(around.pins[4].rising == 1u);
}

BOOST_AUTO_TEST_CASE(an_interrupt_that_is_late_comes_before_the_next_access) {
    std::ofstream(path) << "asyncvm-recording 1\ndevice d\nplace port 0x300 1\n"
                           "0 write port 0x300 1 0x1\n0 done\n500 irq 4 high\n600 read port 0x300 1\n600 done 0x2\n";
    const auto device = play({{"timing", "on"}});
    write(*device, make_access(0x300, 1, 1));
    BOOST_TEST(around.pins[4].rising == 0u);
    BOOST_TEST(read(*device, make_access(0x300, 1)) == 2u);
    BOOST_TEST(around.pins[4].rising == 1u);
}

BOOST_AUTO_TEST_CASE(what_comes_before_any_access_comes_with_the_machine) {
    std::ofstream(path) << "asyncvm-recording 1\ndevice d\nplace port 0x300 1\n500 irq 4 high\n";
    const auto device = play();
    BOOST_TEST(around.pins[4].rising == 0u);
    around.gate->close();
    background(device);
    loop.poll();
    BOOST_TEST(around.pins[4].rising == 0u);
    around.gate->open();
    loop.poll();
    BOOST_TEST(around.pins[4].rising == 1u);
}

BOOST_AUTO_TEST_CASE(a_difference_is_told_once_and_strictly_it_is_the_end) {
    std::ofstream(path) << "asyncvm-recording 1\ndevice d\nplace port 0x300 4\n0 read port 0x300 1\n0 done 0x1\n";
    const std::string what = "the guest differs from the recording at " + path +
                             ":4: expected 'read port 0x300 1', found 'write port 0x302 1 0x1'";
    {
        const auto device = play();
        write(*device, make_access(0x302, 1, 1));
        BOOST_TEST(read(*device, make_access(0x303, 1)) == 0xffu);
        BOOST_REQUIRE(lines.size() == 1u);
        BOOST_TEST(lines[0] == what + " (the write is ignored; further differences are not told)");
        BOOST_TEST(outcomes.empty());
    }
    lines.clear();
    IoBus other(Space::port, loop, Log());
    const DeviceRequest request{.name = "replay", .options = {{"file", path}, {"strict", "on"}}};
    const DeviceHost host{other, mmio, [this](Outcome outcome) { outcomes.push_back(std::move(outcome)); }, {}};
    const auto device = record::replay_kind.make(DeviceOptions(request), host);
    device->attached(context());
    write(*device, make_access(0x302, 1, 1));
    write(*device, make_access(0x302, 1, 1));
    BOOST_REQUIRE(outcomes.size() == 1u);
    BOOST_TEST((outcomes[0].kind == Outcome::Kind::differed));
    BOOST_TEST(outcomes[0].summary == what);
    BOOST_TEST(lines.empty());
}

BOOST_AUTO_TEST_CASE(a_guest_that_ends_early_is_told) {
    std::ofstream(path) << "asyncvm-recording 1\ndevice d\nplace port 0x300 4\n0 read port 0x300 1\n0 done 0x1\n";
    const auto device = play();
    background(device);
    loop.poll();
    end_background();
    BOOST_REQUIRE(lines.size() == 1u);
    BOOST_TEST(lines[0] == "the guest ended before the recording did: " + path + ":4 has 'read port 0x300 1'");
}

BOOST_AUTO_TEST_CASE(a_recording_that_can_not_be_made_is_an_error) {
    path = folder + "/nowhere/recording";
    BOOST_CHECK_EXCEPTION(record(), Error, [this](const Error& error) {
        BOOST_TEST(error.what() == "cannot record trial in " + path + ": no such file or directory");
        return error.kind() == ErrorKind::host;
    });
    BOOST_CHECK_EXCEPTION(play(), Error, [this](const Error& error) {
        BOOST_TEST(error.what() == "cannot read the recording " + path + ": no such file or directory");
        return error.kind() == ErrorKind::usage;
    });
}

BOOST_AUTO_TEST_CASE(a_kind_that_attaches_its_device_itself_is_recorded_too) {
    const std::string places = "place port 0x300 4\nplace memory 0xd0000000 8\n";
    std::ofstream(path) << "asyncvm-recording 1\ndevice d\n" << places << "0 read memory 0xd0000004 4\n0 done 0x7\n";
    const std::string again = folder + "/again";
    const DeviceRequest request{.name = "replay", .options = {{"file", path}}};
    const DeviceHost host{ports, mmio, {}, {}};
    {
        const record::RecordedHost recorded(host, again);
        static_cast<void>(record::replay_kind.make(DeviceOptions(request), recorded.host()));
        BOOST_CHECK_THROW(recorded.host().ports.attach({.first = 0x10}, std::make_shared<Trial>()), Error);
        BOOST_CHECK_THROW(static_cast<void>(recorded.host().mmio.attach_movable(4, std::make_shared<Trial>())), Error);
    }
    BOOST_REQUIRE(ports.devices().size() == 1u);
    BOOST_REQUIRE(mmio.devices() == ports.devices());
    const auto device = ports.devices().front();
    device->attached(context());
    auto access = make_access(0xd000'0004, 4);
    access.space = Space::memory;
    BOOST_TEST(read(*device, access) == 7u);
    path = again;
    BOOST_TEST(text() == "asyncvm-recording 1\ndevice d\nwidth 8\n" + places + "0 read memory 0xd0000004 4\n0 done 0x7\n");
}

BOOST_AUTO_TEST_CASE(whose_recording_it_is_is_said_by_its_beginning) {
    std::ofstream(path) << "asyncvm-recording 1\nwidth 1\ndevice trial\nno matter what\n";
    BOOST_TEST(record::recorded_device(path) == "trial");
    std::ofstream(path) << "asyncvm-recording 1\n0 reset\n";
    BOOST_CHECK_EXCEPTION(static_cast<void>(record::recorded_device(path)), Error, [this](const Error& error) {
        return error.what() == path + ":2: the line 'device NAME' is missing";
    });
}

// Accesses are on a vCPU's thread, background work is on the device loop.
BOOST_AUTO_TEST_CASE(two_threads_record_and_play) {
    constexpr unsigned reads = 500;
    auto recorder = record::make_recorder(std::make_shared<Ticking>(), path,
                                          {{.space = Space::port, .range = {.first = 0x300, .size = 8}}});
    recorder->attached(context());
    read_beside(recorder, reads);
    recorder.reset();  // its line goes low
    const auto recorded = record::load(path);
    BOOST_TEST(std::ranges::count(recorded.events, record::Event::Kind::read, &record::Event::kind) == reads);
    const auto raised = std::ranges::count_if(recorded.events, [](const record::Event& event) { return event.level; });
    BOOST_TEST(around.pins[4].rising == raised);
    const auto player = play();
    read_beside(player, reads);
    BOOST_TEST(around.pins[4].rising == 2 * raised);
    BOOST_TEST(lines.empty());
}

// A limit for the size of files is what a full disk is: a part of the line is written, and then none.
BOOST_AUTO_TEST_CASE(a_full_disk_ends_the_recording_with_a_whole_line_and_the_device_goes_on) {
    const auto device = record();
    static_cast<void>(read(*device, make_access(0x300, 1)));
    const std::string before = text();
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit old{};
    BOOST_REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
    const rlimit small{before.size() + 10, old.rlim_max};
    BOOST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    const auto second = read(*device, make_access(0x300, 1));
    const auto third = read(*device, make_access(0x300, 1));
    BOOST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &old) == 0);
    BOOST_TEST(second == 2u);
    BOOST_TEST(third == 3u);
    BOOST_TEST(text() == before);
    BOOST_REQUIRE(lines.size() == 1u);
    BOOST_TEST(lines[0] == "the recording " + path + " ends here, after " + std::to_string(before.size()) +
                               " bytes: file too large (the device goes on)");
}

BOOST_AUTO_TEST_SUITE_END()
