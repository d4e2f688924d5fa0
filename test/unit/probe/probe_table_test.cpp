#define BOOST_TEST_MODULE probe_table
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "probe/table.hpp"

using namespace asyncvm::probe;

namespace {

/// A root folder with the files of /proc and /sys that describe_host() reads.
struct Root {
    Root() {
        std::string name = std::filesystem::temp_directory_path() / "asyncvm-probe-XXXXXX";
        path = ::mkdtemp(name.data());
    }
    ~Root() { std::filesystem::remove_all(path); }

    void put(const std::string& file, const std::string& text) const {
        std::filesystem::create_directories((path / file).parent_path());
        std::ofstream(path / file) << text;
    }

    std::filesystem::path path;
};

std::vector<Finding> findings(std::initializer_list<std::string_view> missing) {
    std::vector<Finding> all;
    for (const Feature& feature : features()) {
        const bool works = std::ranges::find(missing, feature.name) == missing.end();
        all.push_back({&feature, {works, works ? "" : "shut down at once"}});
    }
    return all;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

BOOST_AUTO_TEST_CASE(each_feature_has_a_name_of_its_own_and_all_its_texts) {
    std::set<std::string_view> names;
    for (const Feature& feature : features()) {
        BOOST_TEST_CONTEXT(feature.name) {
            BOOST_TEST(names.insert(feature.name).second);
            BOOST_TEST(!feature.title.empty());
            BOOST_TEST(feature.title.size() < 36u);
            BOOST_TEST(!feature.used_by.empty());
            BOOST_TEST(!feature.without.empty());
            BOOST_TEST((feature.probe != nullptr));
            BOOST_TEST((find_feature(feature.name) == &feature));
        }
    }
    BOOST_TEST((find_feature("no-such-feature") == nullptr));
}

BOOST_AUTO_TEST_CASE(what_is_missing_is_told_with_its_reason_its_consequence_and_what_to_do) {
    const auto text = format_table({"6.1.0", "A Processor", "KVM", "kvm-intel", "kvm-intel"}, findings({"paging-32"}), "");
    BOOST_TEST(has(text, "Linux 6.1.0 on A Processor, itself a guest of KVM\nKVM: kvm-intel\n"));
    BOOST_TEST(has(text, "32-bit paging                       no    shut down at once\n"));
    BOOST_TEST(has(text, "32-bit kernels                    no: 32-bit paging\n"));
    BOOST_TEST(has(text, "64-bit flat guests                yes\n"));
    BOOST_TEST(
        has(text,
            "\nWhat to do:\n  run such guests on a host with kvm-intel or kvm-amd:\n    32-bit paging (32-bit kernels)\n"));
}

BOOST_AUTO_TEST_CASE(a_debugger_needs_single_steps_and_nothing_else) {
    const auto enough = format_table({}, findings({"software-breakpoint", "hardware-breakpoint", "watchpoint"}), "");
    BOOST_TEST(has(enough, "a debugger on the guest           yes\n"));
    BOOST_TEST(has(enough, "  nothing: gdb's breakpoints are made of what there is, if need be of single steps:\n"
                           "    hardware breakpoints (fast breakpoints)\n"));
    const auto none = format_table({}, findings({"single-step"}), "");
    BOOST_TEST(has(none, "a debugger on the guest           no: single steps\n"));
    BOOST_TEST(has(none, "  run such guests on a host with kvm-intel or kvm-amd:\n    single steps"));
}

BOOST_AUTO_TEST_CASE(a_host_that_has_everything_gets_no_advice) {
    const auto text = format_table({}, findings({}), "");
    BOOST_TEST(!has(text, "What to do"));
    BOOST_TEST(!has(text, " no"));
}

BOOST_AUTO_TEST_CASE(a_host_without_kvm_is_told_why) {
    BOOST_TEST(has(format_table({}, {}, "cannot open /dev/kvm"), "KVM: not usable: cannot open /dev/kvm\n"));
    BOOST_TEST(format_lines({}, "cannot open /dev/kvm") == "kvm=no cannot open /dev/kvm\n");
}

BOOST_AUTO_TEST_CASE(scripts_get_a_line_for_each_feature) {
    const auto text = format_lines(findings({"sse"}), "");
    BOOST_TEST(text.starts_with("kvm=yes\nreal-mode=yes\n"));
    BOOST_TEST(has(text, "\nsse=no shut down at once\n"));
    BOOST_TEST(std::ranges::count(text, '\n') == static_cast<long>(features().size() + 1));
}

BOOST_AUTO_TEST_CASE(kvm_amd_is_known_by_its_module_and_its_paging) {
    const Root root;
    root.put("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
    root.put("proc/cpuinfo",
             "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu svm\n\nprocessor\t: 1\nmodel name\t: other\n");
    root.put("sys/module/kvm/refcnt", "1\n");
    root.put("sys/module/kvm_amd/parameters/npt", "N\n");
    const Host host = describe_host(root.path);
    BOOST_TEST(host.linux_release == "6.1.0-18-amd64");
    BOOST_TEST(host.processor == "AMD EPYC");
    BOOST_TEST(host.hypervisor == "");
    BOOST_TEST(host.module == "kvm-amd");
    BOOST_TEST(host.kvm == "kvm-amd, nested paging (npt) off");
}

BOOST_AUTO_TEST_CASE(another_module_is_called_by_its_name) {
    const Root root;
    root.put("sys/module/kvm_pvm/refcnt", "1\n");
    BOOST_TEST(describe_host(root.path).kvm == "kvm-pvm");
}

BOOST_AUTO_TEST_CASE(without_a_module_the_processor_tells) {
    const Root root;
    root.put("proc/cpuinfo", "flags\t\t: fpu vmx\n");
    BOOST_TEST(describe_host(root.path).kvm == "built into the kernel (the processor has VMX)");
    root.put("proc/cpuinfo", "flags\t\t: fpu vmxish\n");
    BOOST_TEST(has(describe_host(root.path).kvm, "neither VMX nor SVM"));
}

BOOST_AUTO_TEST_CASE(nothing_is_known_of_an_empty_root_and_nothing_fails) {
    const Root root;
    const Host host = describe_host(root.path);
    BOOST_TEST(host.linux_release == "");
    BOOST_TEST(host.module == "");
}

BOOST_AUTO_TEST_CASE(hypervisors_are_called_by_their_names) {
    BOOST_TEST(hypervisor_name("KVMKVMKVM") == "KVM");
    BOOST_TEST(hypervisor_name("TCGTCGTCGTCG") == "QEMU's emulator (TCG)");
    BOOST_TEST(hypervisor_name("SomethingNew") == "\"SomethingNew\"");
}
