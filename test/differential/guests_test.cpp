// Every guest of guests/, with the devices that its command line asks for, on KVM and on Unicorn: the same output, the same
// accesses in the same order, the same end.
#define BOOST_TEST_MODULE guests
#include <asyncvm/loader.hpp>
#include <asyncvm/machine.hpp>

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <sstream>

#include "../unit/cli/command_line.hpp"
#include "../unit/devices/fake_chardev.hpp"
#include "both_or_skip.hpp"
#include "cli/wiring.hpp"
#include "recording_accelerator.hpp"

using namespace asyncvm;
using namespace asyncvm::test;
using namespace std::chrono_literals;

namespace {

std::string read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// What {disk} among a guest's arguments stands for.
struct DiskImage {
    DiskImage() {
        std::ofstream file(path, std::ios::binary);
        file << std::string(1 << 20, '\0');
    }
    DiskImage(const DiskImage&) = delete;
    DiskImage& operator=(const DiskImage&) = delete;
    ~DiskImage() { std::filesystem::remove(path); }

    const std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("differential-disk-" + std::to_string(::getpid()));
};

/// {socket} among a guest's arguments stands for the path of a socket.
void name_socket(std::vector<std::string>& arguments, const std::string& path) {
    constexpr std::string_view word = "{socket}";
    for (auto& argument : arguments) {
        for (auto at = argument.find(word); at != argument.npos; at = argument.find(word)) {
            argument.replace(at, word.size(), path);
        }
    }
}

struct Guest {
    std::string name;
    cli::Options options;
    std::string input;
    bool ends = true;
    bool flat = true;

    Guest(const std::filesystem::path& folder, const DiskImage& disk) : name(folder.filename()) {
        std::istringstream words(read_file(folder / "arguments"));
        std::vector<std::string> arguments{std::istream_iterator<std::string>(words), {}};
        std::ranges::replace(arguments, "{disk}", disk.path.string());
        name_socket(arguments, disk.path.string() + "-socket");
        arguments.push_back((std::filesystem::path(std::getenv("GUESTS")) / (name + ".bin")).string());
        options = cli::parse(arguments);
        input = read_file(folder / "input");
        ends = !std::filesystem::exists(folder / "signal");
        // Kernels are tested in test/guest, and Unicorn has no interrupts.
        flat = std::filesystem::exists(options.guest) && !options.format && !options.irqchip;
    }
};

struct Run {
    RecordingAccelerator::Logs logs;
    std::map<std::string, std::string> output;  ///< of each chardev
    std::optional<Outcome> outcome;
};

void run(const Guest& guest, std::unique_ptr<Accelerator> accelerator, Run& made) {
    asio::io_context loop{1};
    Machine machine({.memory_size = 1 << 20, .cpus = guest.options.cpus},
                    std::make_unique<RecordingAccelerator>(std::move(accelerator), made.logs), loop);
    std::map<std::string, std::shared_ptr<FakeChardev>> streams;
    const auto open = [&](const cli::StreamRequest& request) {
        const auto stream = std::make_shared<FakeChardev>(1 << 20);
        if (request.reads) stream->type(guest.input);
        streams[request.label] = stream;
        return stream;
    };
    cli::attach_devices(guest.options, {},
                        {.ports = machine.ports(),
                         .mmio = machine.mmio(),
                         .open_stream = open,
                         .finish = [&](Outcome outcome) { machine.finish(std::move(outcome)); },
                         .loop = &loop});
    const Mode mode = guest.options.mode.value_or(Mode::real16);
    const auto image = load_flat(machine.memory(), {.path = guest.options.guest, .mode = mode});
    for (unsigned cpu = 0; cpu < guest.options.cpus; ++cpu) {
        Registers registers = image.registers;
        apply_all(registers, cpu, guest.options.registers, mode);
        machine.set_registers(cpu, registers);
    }
    asio::co_spawn(loop, machine.run(), [&](std::exception_ptr, Outcome outcome) { made.outcome = std::move(outcome); });
    loop.run_for(20s);
    for (const auto& [label, stream] : streams) made.output[label] = stream->take();
}

/// How often a guest looks whether there is something to read depends on time; that it looks does not.
std::vector<std::string> without_repeats(std::vector<std::string> lines) {
    lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
    return lines;
}

}  // namespace

BOOST_TEST_GLOBAL_FIXTURE(BothOrSkip);

BOOST_AUTO_TEST_CASE(every_guest_that_ends_does_the_same_on_both) {
    unsigned guests = 0;
    for (const auto& entry : std::filesystem::directory_iterator(std::getenv("GUEST_SOURCES"))) {
        // Not those whose device is a program of its own: two runs would find it in two states.
        if (!entry.is_directory() || std::filesystem::exists(entry.path() / "device")) continue;
        const DiskImage disk;
        const Guest guest(entry.path(), disk);
        if (!guest.ends || !guest.flat) continue;
        BOOST_TEST_CONTEXT("guest " << guest.name) {
            Run kvm, unicorn;
            run(guest, make_kvm_accelerator(), kvm);
            run(guest, make_unicorn_accelerator(), unicorn);
            BOOST_REQUIRE(kvm.outcome.has_value());
            BOOST_REQUIRE(unicorn.outcome.has_value());
            BOOST_TEST((kvm.outcome->kind == unicorn.outcome->kind), unicorn.outcome->summary);
            BOOST_TEST(kvm.outcome->guest_code == unicorn.outcome->guest_code);
            BOOST_TEST((kvm.output == unicorn.output));
            for (unsigned cpu = 0; cpu < guest.options.cpus; ++cpu) {
                BOOST_TEST(without_repeats(kvm.logs[cpu].lines()) == without_repeats(unicorn.logs[cpu].lines()),
                           boost::test_tools::per_element());
            }
            ++guests;
        }
    }
    std::printf("%u guests do the same on KVM and Unicorn\n", guests);
    BOOST_TEST(guests >= 15u);
}
