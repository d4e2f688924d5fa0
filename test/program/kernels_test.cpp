// Kernels of guests/ with no option but what they are to be told: the file says how it starts.
#define BOOST_TEST_MODULE kernels
#include "harness.hpp"

#include <boost/test/unit_test.hpp>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

/// The output of a kernel that is told of everything.
std::string told(const std::string& kernel) {
    const TemporaryDirectory directory;
    const auto module = directory.file("module");
    const auto initrd = directory.file("initrd");
    write_file(module, "a module");
    write_file(initrd, "an initrd");
    const auto ended =
        run_asyncvm({"--append", "one two", "--module", module + ",with arguments", "--initrd", initrd, guest_path(kernel)});
    BOOST_TEST(ended.code == 0, ended.err);
    BOOST_TEST(ended.err == "");
    return ended.out;
}

bool has_line(const std::string& text, const std::string& line) {
    return ('\n' + text).find('\n' + line + '\n') != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_kernel_is_told_of_its_command_line_and_modules) {
    for (const std::string kernel : {"multiboot", "multiboot2", "pvh"}) {
        BOOST_TEST_CONTEXT(kernel) {
            const auto out = told(kernel);
            BOOST_TEST(has_line(out, "command line: one two"), out);
            BOOST_TEST(has_line(out, "module with arguments: a module"), out);
            BOOST_TEST(has_line(out, "module : an initrd"), out);
            BOOST_TEST(has_line(out, "zeros: yes"), out);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_kernel_without_a_protocol_is_refused_what_it_cant_be_told) {
    const auto ended = run_asyncvm({"--append", "quiet", guest_path("elf64")});
    BOOST_TEST(ended.code == 66, ended.err);
    BOOST_TEST(ended.err.find("no protocol says how it is told of --append") != std::string::npos, ended.err);
}

BOOST_AUTO_TEST_CASE(inspect_tells_the_format_the_entry_and_the_segments) {
    const auto ended = run_asyncvm({"inspect", guest_path("pvh")});
    BOOST_TEST(ended.code == 0);
    BOOST_TEST(ended.out.find("PVH entry: 0x1000") != std::string::npos, ended.out);
    BOOST_TEST(ended.out.find("note: Xen, type 18, 4 bytes") != std::string::npos, ended.out);
    BOOST_TEST(ended.out.find("segment 0 of ") != std::string::npos, ended.out);
}
