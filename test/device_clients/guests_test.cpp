// The guests whose device is a program of its own (a folder of guests/ with a file `device`), run by the real program with
// that device: arguments and expected output as for the others. ASYNCVM_TEST_ACCEL says on which accelerator.
#define BOOST_TEST_MODULE device_guests
#include "../program/harness.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <sstream>

using namespace program_test;

namespace {

std::string environment(const std::string& name) {
    const char* const value = std::getenv(name.c_str());
    return value != nullptr ? value : "";
}

bool on_kvm() { return environment("ASYNCVM_TEST_ACCEL") != "unicorn"; }

struct NeedsAccelerator {
    NeedsAccelerator() {
        if (on_kvm()) NeedsKvm();
    }
};

/// The path of a device: a script of tools/device-clients, or a program of the build, whose path is in an environment
/// variable.
std::string device_path(std::string name) {
    if (name.find('.') != name.npos) return environment("DEVICE_CLIENTS") + "/" + name;
    std::ranges::transform(name, name.begin(), [](unsigned char letter) { return std::toupper(letter); });
    return environment("DEVICE_" + name);
}

/// For a case: skipped where there is no interpreter for its devices, or no C compiler has made them.
struct Runs {
    std::string what;
    boost::test_tools::assertion_result operator()(boost::unit_test::test_unit_id) const {
        const bool script = what == "python3" || what == "node";
        boost::test_tools::assertion_result result(script ? std::system((what + " --version >/dev/null 2>&1").c_str()) == 0
                                                          : !device_path(what).empty());
        result.message() << (script ? what + " is not installed" : "no C compiler has built " + what);
        return result;
    }
};

/// Runs every guest that has a device whose name ends so: how many there are.
unsigned run_guests(std::string_view suffix) {
    unsigned count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(guest_sources())) {
        const auto folder = entry.path();
        if (!std::filesystem::exists(folder / "device")) continue;
        std::istringstream devices(read_file(folder / "device"));
        for (std::string device; devices >> device;) {
            const auto arguments = read_file(folder / "arguments");
            const bool fits = suffix.empty() ? device.find('.') == device.npos : device.ends_with(suffix);
            if (!fits || (!on_kvm() && arguments.find("--irqchip on") != arguments.npos)) continue;
            BOOST_TEST_CONTEXT("guest " << folder.filename() << " with " << device) {
                std::vector<std::string> command{"--accel", on_kvm() ? "kvm" : "unicorn"};
                std::istringstream words(arguments);
                for (std::string word; words >> word; command.push_back(word)) {
                    constexpr std::string_view stands = "{device}";
                    if (const auto at = word.find(stands); at != word.npos)
                        word.replace(at, stands.size(), device_path(device));
                }
                command.push_back(guest_path(folder.filename().string()));
                const auto ended = run_asyncvm(command);
                BOOST_TEST(ended.out == read_file(folder / "expected"));
                BOOST_TEST(ended.code == 0, "exit code " << ended.code << ": " << ended.err);
            }
            ++count;
        }
    }
    return count;
}

}  // namespace

BOOST_TEST_GLOBAL_FIXTURE(NeedsAccelerator);

BOOST_AUTO_TEST_CASE(devices_in_c, *boost::unit_test::precondition(Runs{"dice"})) {
    BOOST_TEST(run_guests("") == (on_kvm() ? 2U : 1U));
}

BOOST_AUTO_TEST_CASE(devices_in_python, *boost::unit_test::precondition(Runs{"python3"})) {
    BOOST_TEST(run_guests(".py") == (on_kvm() ? 2U : 1U));
}

// The only guest with a device in JavaScript alone gets interrupts, which Unicorn has not.
BOOST_AUTO_TEST_CASE(devices_in_javascript, *boost::unit_test::precondition(Runs{"node"})) {
    BOOST_TEST(run_guests(".js") == (on_kvm() ? 2U : 0U));
}
