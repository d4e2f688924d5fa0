// Devices from shared objects, through the real program.
#define BOOST_TEST_MODULE plugin
#include "../program/harness.hpp"
#include "../program/small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

using namespace program_test;
namespace utf = boost::unit_test;

namespace {

/// The path of a shared object that the build has made; nothing if it has not.
std::string plugin(std::string name) {
    std::ranges::replace(name, '-', '_');
    const char* const path = std::getenv(("PLUGIN_" + name).c_str());
    return path != nullptr ? path : "";
}

boost::test_tools::assertion_result has_other_compiler(boost::unit_test::test_unit_id) {
    if (!plugin("other-compiler").empty()) return true;
    boost::test_tools::assertion_result no(false);
    no.message() << "the build has found no other compiler";
    return no;
}

/// mov dx, 0x3f8; three times: in al, 0x60; out dx, al; and hlt
const std::string reading_guest = guest_code("\xba\xf8\x03\xe4\x60\xee\xe4\x60\xee\xe4\x60\xee\xf4");

/// mov dx, 0x3f8; mov al, CHOICE; out 0x60, al; in al, 0x60; out dx, al; hlt
std::string choosing_guest(char choice) {
    return guest_code("\xba\xf8\x03\xb0") + choice + guest_code("\xe6\x60\xe4\x60\xee\xf4");
}

struct Files : TemporaryDirectory {
    Files() { write_file(guest, reading_guest); }

    Ended run(const std::string& device) const {
        // Chosen, Unicorn is not worth a line.
        return run_asyncvm({"--device", device, "--accel", why_no_kvm().empty() ? "kvm" : "unicorn", guest});
    }

    std::string guest = file("guest");
};

void check_refused(const std::string& device, const std::string& message) {
    const auto ended = run_asyncvm({"--device", device, "guest"});
    BOOST_TEST_CONTEXT(device << ": " << ended.code << " " << ended.err) {
        BOOST_TEST(ended.code == 64);
        BOOST_TEST(ended.err.find("asyncvm: device " + device.substr(0, device.find(',')) + ": ") == 0);
        BOOST_TEST(ended.err.find(message) != std::string::npos);
        BOOST_TEST(std::ranges::count(ended.err, '\n') == 2);
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(plugins)

BOOST_FIXTURE_TEST_CASE(a_guest_reads_a_device_from_a_shared_object, Files) {
    const auto ended = run(plugin("thermometer") + ",degrees=0x41");
    BOOST_TEST(ended.code == 0, ended.err);
    BOOST_TEST(ended.out == "ABC");
    BOOST_TEST(ended.err == "");
}

BOOST_FIXTURE_TEST_CASE(it_can_be_at_another_port_as_every_device, Files) {
    write_file(guest, guest_code("\xba\xf8\x03\xe4\x64\xee\xe4\x60\xee\xf4"));
    const auto ended = run(plugin("thermometer") + ",port=0x64,degrees=65");
    BOOST_TEST(ended.out == "A\xff", ended.err);
}

BOOST_FIXTURE_TEST_CASE(it_can_be_in_memory_as_every_device, Files) {
    // mov ax, 0x2000; mov ds, ax; mov dx, 0x3f8; twice: mov al, [0]; out dx, al; and hlt
    write_file(guest, guest_code("\xb8\x00\x20\x8e\xd8\xba\xf8\x03\xa0\x00\x00\xee\xa0\x00\x00\xee\xf4"));
    const auto ended =
        run_asyncvm({"--memory", "128K", "--device", plugin("thermometer") + ",mmio=0x20000,degrees=65", guest});
    BOOST_TEST(ended.out == "AB", ended.err);
    BOOST_TEST(run(plugin("thermometer") + ",mmio=0x20000").err.find("mmio=0x20000 is in the guest's RAM") !=
               std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(another_compiler_may_have_built_it, Files, *utf::precondition(has_other_compiler)) {
    const auto ended = run(plugin("other-compiler") + ",degrees=65");
    BOOST_TEST(ended.out == "ABC", ended.err);
}

BOOST_FIXTURE_TEST_CASE(two_of_the_same_file_are_two_devices, Files) {
    write_file(guest, guest_code("\xba\xf8\x03\xe4\x60\xee\xe4\x64\xee\xe4\x60\xee\xf4"));
    const auto ended = run_asyncvm({"--device", plugin("thermometer") + ",degrees=65", "--device",
                                    plugin("thermometer") + ",degrees=97,port=0x64", guest});
    BOOST_TEST(ended.out == "AaB", ended.err);
}

BOOST_AUTO_TEST_CASE(help_explains_its_keys) {
    const auto ended = run_asyncvm({"--device", plugin("thermometer") + ",help"});
    BOOST_TEST(ended.code == 0);
    BOOST_TEST(ended.out.starts_with("thermometer: counts degrees upwards (port 0x60)\n"), ended.out);
    BOOST_TEST(ended.out.find("\n  degrees=N ") != std::string::npos, ended.out);
}

BOOST_AUTO_TEST_CASE(a_wrong_key_or_value_is_refused_as_for_every_device) {
    const auto path = plugin("thermometer");
    BOOST_TEST(run_asyncvm({"--device", path + ",degres=1", "g"}).err.find("did you mean degrees?") != std::string::npos);
    BOOST_TEST(run_asyncvm({"--device", path + ",degrees=256", "g"}).err.find("degrees=256 is not a number") !=
               std::string::npos);
    BOOST_TEST(run_asyncvm({"--device", path, "--device", path, "g"}).err.find("thermometer is already at") !=
               std::string::npos);
    check_refused(plugin("trial"), "it has no place of its own");
}

BOOST_FIXTURE_TEST_CASE(what_a_device_throws_arrives, Files) {
    for (const auto& [choice, message] : {std::pair{'r', "failed at port 0x60 and is detached: thrown in the plugin"},
                                          {'s', "is detached: thrown in the plugin: No space left on device"},
                                          {'e', "failed at port 0x60 and is detached: thrown in the plugin"},
                                          {'i', "failed at port 0x60 and is detached: "}}) {
        write_file(guest, choosing_guest(choice));
        const auto ended = run(plugin("trial") + ",port=0x60");
        BOOST_TEST(ended.code == 0);
        BOOST_TEST(ended.out == "\xff");
        BOOST_TEST(ended.err.find(message) != std::string::npos, ended.err);
    }
}

BOOST_FIXTURE_TEST_CASE(what_the_library_throws_arrives_in_the_plugin, Files) {
    write_file(guest, choosing_guest('c'));
    const auto ended = run(plugin("trial") + ",port=0x60");
    BOOST_TEST(ended.out == "c", ended.err);
    BOOST_TEST(ended.err == "");
}

BOOST_AUTO_TEST_CASE(one_that_can_not_be_made_says_why) {
    const auto path = plugin("trial") + ",port=0x60,make=";
    BOOST_TEST(run_asyncvm({"--device", path + "error", "g"}).err.starts_with("asyncvm: it says what is wrong\n"));
    check_refused(path + "exception", "it cannot be made: it is Monday");
    check_refused(path + "other", "it cannot be made: something that is no exception");
    check_refused(path + "none", "its function make gives none");
}

BOOST_FIXTURE_TEST_CASE(a_file_that_is_no_plugin_is_refused_with_the_reason, Files) {
    check_refused(file("missing.so"), "cannot open it: no such file or directory");
    check_refused(file(""), "it is no file");
    check_refused(guest, "it is no shared object");
    write_file(file("empty.so"), "");
    check_refused(file("empty.so"), "it is no shared object");
    // What has only one of the two marks: the magic number, and the type of a shared object.
    write_file(file("text.so"), std::string(16, 'x') + '\3' + std::string(100, 'x'));
    check_refused(file("text.so"), "it is no shared object");
    write_file(file("program.so"), "\177ELF" + std::string(12, 'x') + '\2' + std::string(100, 'x'));
    check_refused(file("program.so"), "it is no shared object");
    // The first bytes alone are right: the dynamic linker has the last word.
    write_file(file("short.so"), read_file(plugin("trial")).substr(0, 100));
    check_refused(file("short.so"), "short.so");
    check_refused(std::getenv("ASYNCVM"), "cannot dynamically load");
    check_refused(plugin("no-entry"), "it has no asyncvm_device_plugin");
    check_refused(plugin("null-info"), "its asyncvm_device_plugin returns null");
    check_refused(plugin("no-make"), "its kind has no function make");
    check_refused(plugin("no-name"), "its kind has no name");
}

BOOST_AUTO_TEST_CASE(one_that_was_built_for_something_else_is_refused_with_the_reason) {
    check_refused(plugin("other-version"), " of the device interface, and this asyncvm has version ");
    check_refused(plugin("other-trait"), "it was compiled (a compiler) with sizeof(std::vector<int>) = 25");
    check_refused(plugin("missing-symbol"), "it needs asyncvm::there_is_no_such_function(), which nobody here has");
    check_refused(plugin("hidden"), "its symbols are its own");
}

BOOST_AUTO_TEST_CASE(a_plugin_without_a_slash_is_shown_how) {
    const auto ended = run_asyncvm({"--device", "mydevice.so", "g"});
    BOOST_TEST(ended.code == 64);
    BOOST_TEST(ended.err.find("(a plugin's name has a slash: ./mydevice.so)") != std::string::npos, ended.err);
}

BOOST_FIXTURE_TEST_CASE(without_the_program_for_them_plugins_are_refused_and_everything_else_works, Files) {
    // A copy that has no companion.
    const auto alone = file("bin");
    std::filesystem::create_directory(alone);
    std::filesystem::copy_file(std::getenv("ASYNCVM"), alone + "/asyncvm");
    Child refused({alone + "/asyncvm", "--device", plugin("thermometer"), guest});
    BOOST_TEST(refused.wait().code == 72);
    BOOST_TEST(refused.wait().err.find("asyncvm-with-plugins, which cannot be started: no such file or directory") !=
               std::string::npos);
    Child fine({alone + "/asyncvm", "--device", "counter,chardev=file:" + file("out"), guest});
    BOOST_TEST(fine.wait().code == 0);
    // Where `meson install` puts it.
    std::filesystem::create_directory(file("libexec"));
    std::filesystem::create_symlink(std::getenv("ASYNCVM_WITH_PLUGINS"), file("libexec") + "/asyncvm-with-plugins");
    Child found({alone + "/asyncvm", "--device=" + plugin("thermometer") + ",degrees=65", guest});
    BOOST_TEST(found.wait().out == "ABC", found.wait().err);
}

BOOST_AUTO_TEST_SUITE_END()
