// Every guest of guests/, run as its folder says: arguments, input, expected output, exit code, and a signal if it never
// ends.
#define BOOST_TEST_MODULE guests
#include "harness.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <csignal>
#include <map>
#include <regex>
#include <sstream>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

struct Guest {
    explicit Guest(const std::filesystem::path& folder) : name(folder.filename()), folder_(folder) {
        std::istringstream words(text("arguments"));
        for (std::string word; words >> word;) arguments.push_back(word);
        arguments.push_back(guest_path(name));
    }

    /// Makes the file that {disk} among the arguments stands for.
    void make_disk(const std::string& path) {
        const auto place = std::ranges::find(arguments, "{disk}");
        if (place == arguments.end()) return;
        write_file(path, std::string(1 << 20, '\0'));
        *place = path;
    }

    /// {socket} among the arguments stands for the path of a socket.
    void name_socket(const std::string& path) {
        constexpr std::string_view word = "{socket}";
        for (auto& argument : arguments) {
            for (auto at = argument.find(word); at != argument.npos; at = argument.find(word)) {
                argument.replace(at, word.size(), path);
            }
        }
    }

    /// The content of a file of the folder, or nothing.
    [[nodiscard]] std::string text(const char* file) const {
        return has(file) ? read_file((folder_ / file).string()) : std::string();
    }
    [[nodiscard]] bool has(const char* file) const { return std::filesystem::exists(folder_ / file); }
    [[nodiscard]] int code() const { return has("code") ? std::stoi(text("code")) : 0; }
    [[nodiscard]] int signal() const {
        static const std::map<std::string, int> numbers{{"", 0}, {"INT", SIGINT}, {"TERM", SIGTERM}};
        std::istringstream words(text("signal"));
        std::string name_of_signal;
        words >> name_of_signal;
        return numbers.at(name_of_signal);
    }

    std::string name;
    std::vector<std::string> arguments;

private:
    std::filesystem::path folder_;
};

std::vector<Guest> all_guests() {
    std::vector<Guest> guests;
    for (const auto& entry : std::filesystem::directory_iterator(guest_sources())) {
        // Guests whose device is a program of its own are run by test/device_clients.
        if (entry.is_directory() && !std::filesystem::exists(entry.path() / "device")) guests.emplace_back(entry.path());
    }
    std::ranges::sort(guests, {}, &Guest::name);
    return guests;
}

}  // namespace

BOOST_AUTO_TEST_CASE(interrupt_controllers_are_there_when_they_are_asked_for) {
    const TemporaryDirectory directory;
    const auto guest = directory.file("pic");
    // mov al, 'U'; out 0x21, al; in al, 0x21; out 0xe9, al; out 0xf4, al -- reads the mask of the interrupt controller back
    write_file(guest, guest_code("\xb0U\xe6\x21\xe4\x21\xe6\xe9\xe6\xf4"));
    BOOST_TEST(run_asyncvm({"--irqchip", "on", guest}).out == "U");
    BOOST_TEST(run_asyncvm({"--irqchip", "off", guest}).out == "\xff");
}

BOOST_AUTO_TEST_CASE(each_guest_gives_its_expected_output) {
    auto guests = all_guests();
    BOOST_TEST(guests.size() >= 10U);
    const TemporaryDirectory directory;
    for (auto& guest : guests) {
        BOOST_TEST_CONTEXT("guest " << guest.name) {
            BOOST_TEST_REQUIRE(guest.has("expected"));
            guest.make_disk(directory.file(guest.name + ".img"));
            guest.name_socket(directory.file("socket"));
            Child child(asyncvm(guest.arguments));
            child.type(guest.text("input"));
            child.end_input();
            if (guest.signal() != 0) {
                child.wait_for_output(guest.text("expected"));
                child.send_signal(guest.signal());
            }
            const auto& ended = child.wait();
            BOOST_TEST(ended.out == guest.text("expected"));
            BOOST_TEST(ended.code == guest.code(), "exit code " << ended.code << ": " << ended.err);
            BOOST_TEST(!ended.killed);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_guest_that_ends_well_says_nothing_on_standard_error) {
    const auto ended = run_asyncvm({"--reg", "rax=2", "--reg", "rbx=2", guest_path("sum")});
    BOOST_TEST(ended.out == "4\n");
    BOOST_TEST(ended.err == "");
    BOOST_TEST(ended.code == 0);
}

BOOST_AUTO_TEST_CASE(verbose_tells_how_the_guest_ended_and_what_found_no_device) {
    const auto ended = run_asyncvm({"-v", guest_path("widths")});
    BOOST_TEST(ended.code == 0);
    BOOST_TEST(ended.err.find("asyncvm: the guest halted with interrupts off (vCPU 0)\n") != std::string::npos, ended.err);
    BOOST_TEST(ended.err.find("accesses that found no device: ") != std::string::npos, ended.err);
    BOOST_TEST(ended.err.find("accesses that found no device: 0 to ports") == std::string::npos, ended.err);
    BOOST_TEST(std::regex_search(ended.err, std::regex("no device: [0-9]+ to ports \\(0x[0-9a-f]+: [0-9]+")), ended.err);
    BOOST_TEST(ended.err.find("\nasyncvm: halted at 0x10") != std::string::npos, ended.err);
    BOOST_TEST(ended.err.find("registers of vCPU 0:") != std::string::npos, ended.err);
}

BOOST_AUTO_TEST_CASE(a_triple_fault_is_reported_with_the_state_of_the_processor) {
    const auto ended = run_asyncvm({"--mode", "32", guest_path("triple-fault")});
    BOOST_TEST(ended.code == 80);
    BOOST_TEST(ended.err.starts_with("asyncvm: triple fault"), ended.err);
    BOOST_TEST(ended.err.find("rip") != std::string::npos, ended.err);
    BOOST_TEST(ended.out == "");
}

BOOST_AUTO_TEST_CASE(the_exit_port_can_give_any_code) {
    BOOST_TEST(run_asyncvm({guest_path("exit-code")}).code == 43);
    BOOST_TEST(run_asyncvm({"--device", "exit,code=exact", guest_path("exit-code")}).code == 21);
}

BOOST_AUTO_TEST_CASE(a_guest_can_come_through_the_standard_input) {
    const auto ended = run_asyncvm({"--mode", "64", "-"}, read_file(guest_path("mode64")));
    BOOST_TEST(ended.out == "mode 64 ok\n");
    BOOST_TEST(ended.code == 0);
}

BOOST_AUTO_TEST_CASE(without_defaults_nobody_prints) {
    const auto ended = run_asyncvm({"--no-defaults", guest_path("debug-hello")});
    BOOST_TEST(ended.out == "");
    BOOST_TEST(ended.code == 0);
}

BOOST_AUTO_TEST_CASE(output_goes_where_the_options_say) {
    const TemporaryDirectory directory;
    const auto serial = directory.file("serial, with a comma");
    const auto ended =
        run_asyncvm({"--serial", "file:" + directory.file("serial,, with a comma"), guest_path("serial-hello")});
    BOOST_TEST(ended.code == 0);
    BOOST_TEST(ended.out == "");
    BOOST_TEST(read_file(serial) == "Hello from the guest!\n");
    BOOST_TEST(run_asyncvm({"--debugcon", "file:" + directory.file("debug"), guest_path("debug-hello")}).out == "");
    BOOST_TEST(read_file(directory.file("debug")) == "Hello\n");
}
