// Mistakes on the command line, through the real program. None of it needs KVM.
#define BOOST_TEST_MODULE usage
#include "harness.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>

using namespace program_test;

namespace {

struct Case {
    std::vector<std::string> arguments;
    std::string message;  ///< a part of it
};

void check(const Case& c, int code) {
    const auto ended = run_asyncvm(c.arguments);
    BOOST_TEST_CONTEXT("asyncvm with '" << (c.arguments.empty() ? "" : c.arguments.front()) << "': " << ended.err) {
        BOOST_TEST(ended.code == code);
        BOOST_TEST(!ended.killed);
        BOOST_TEST(ended.out.empty());
        BOOST_TEST(ended.err.starts_with("asyncvm: "));
        BOOST_TEST(ended.err.find(c.message) != std::string::npos);
        BOOST_TEST(ended.err.ends_with("asyncvm: see asyncvm --help\n"));
        BOOST_TEST(std::ranges::count(ended.err, '\n') == 2);  // not a word of what the machine would have been
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_mistake_is_named_and_ends_with_64) {
    const Case cases[] = {
        {{}, "no guest is given"},
        {{"one", "two"}, "unexpected argument: two"},
        {{"--nonsense", "g"}, "unknown option: --nonsense"},
        {{"-serial", "null", "g"}, "did you mean --serial?"},
        {{"-kernel", "vmlinuz"}, "unknown option: -kernel (QEMU's; here: the kernel is GUEST itself"},
        {{"-machine", "q35", "g"}, "unknown option: -machine (did you mean --machine?)"},
        {{"-monitor", "stdio", "g"}, "here: --control unix:PATH, then asyncvm ctl PATH hmp)"},
        {{"--qmp", "unix:/tmp/q", "g"}, "here: --control unix:PATH)"},
        {{"-hda=a.img", "g"}, "unknown option: -hda (QEMU's; here: --disk FILE)"},
        {{"--serial"}, "--serial needs a value"},
        {{"--serial", "tpc:4444", "g"}, "--serial 'tpc:4444'"},
        {{"--serial", "tcp:4444,wiat", "g"}, "'wiat'"},
        {{"--serial", "tcp:65536", "g"}, "65536"},
        {{"--serial", "unix:", "g"}, "unix: needs a path"},
        {{"--debugcon", "nowhere", "g"}, "'nowhere'"},
        {{"--device", "countr", "g"}, "did you mean counter?"},
        {{"--device", "exit,code=5", "g"}, "code=5"},
        {{"--device", "counter,port=0x3f8", "g"}, "uart16550"},
        {{"--load", "zero", "g"}, "--load zero"},
        {{"--entry", "-1", "g"}, "--entry -1"},
        {{"--mode", "48", "g"}, "--mode 48"},
        {{"--reg", "axe=1", "g"}, "--reg axe=1"},
        {{"--memory", "100001", "g"}, "multiple of 4096"},
        {{"--cpus", "0", "g"}, "--cpus 0"},
    };
    for (const auto& c : cases) check(c, 64);
}

BOOST_AUTO_TEST_CASE(a_mistake_is_found_before_anything_is_opened) {
    const TemporaryDirectory directory;
    const auto ended = run_asyncvm({"--serial", "file:" + directory.file("out"), "--device", "nonsense", "g"});
    BOOST_TEST(ended.code == 64);
    BOOST_TEST(!std::filesystem::exists(directory.file("out")));
}

BOOST_AUTO_TEST_CASE(help_and_version_go_to_the_standard_output) {
    const auto help = run_asyncvm({"--help"});
    BOOST_TEST(help.code == 0);
    BOOST_TEST(help.out.starts_with("usage: asyncvm "));
    BOOST_TEST(help.err == "");
    const auto version = run_asyncvm({"--version"});
    BOOST_TEST(version.code == 0);
    BOOST_TEST(version.out.starts_with("asyncvm "));
    const auto devices = run_asyncvm({"--device", "help"});
    BOOST_TEST(devices.code == 0);
    BOOST_TEST(devices.out.find("debugcon") != std::string::npos);
    const auto device = run_asyncvm({"--device", "exit,help"});
    BOOST_TEST(device.code == 0);
    BOOST_TEST(device.out.starts_with("exit: "));
}

BOOST_AUTO_TEST_CASE(a_text_that_cannot_be_printed_is_an_error) {
    Child child({"sh", "-c", "exec \"$0\" --help >/dev/full", asyncvm_path()});
    BOOST_TEST(child.wait().code == 72);
    BOOST_TEST(child.err().find("cannot write to the standard output") != std::string::npos);
}
