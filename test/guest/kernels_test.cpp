// Kernels of guests/ as an embedder boots them: through Boot, in memory that is not all zeros.
#define BOOST_TEST_MODULE kernels
#include <asyncvm/boot.hpp>
#include <asyncvm/device.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "machine_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

namespace {

constexpr std::uint64_t ram = 8 << 20;

/// What the guest sends is a text.
class Printer : public Device {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "printer"; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 1; }
    awaitable<void> write(const Access& access) override {
        text += static_cast<char>(access.data);
        co_return;
    }
    awaitable<void> read(Access& access) override {
        access.data = 0;
        co_return;
    }

    std::string text;
};

std::string kernel_path(const std::string& name) {
    const char* const folder = std::getenv("GUESTS");
    BOOST_REQUIRE_MESSAGE(folder != nullptr, "GUESTS is not set");
    return std::string(folder) + '/' + name + ".elf";
}

/// A file that is gone at the end of the test.
class ModuleFile {
public:
    explicit ModuleFile(const std::string& content) {
        std::string name = (std::filesystem::temp_directory_path() / "module-XXXXXX").string();
        const int fd = ::mkstemp(name.data());
        BOOST_REQUIRE(fd >= 0);
        ::close(fd);
        path = name;
        std::ofstream(path, std::ios::binary) << content;
    }
    ModuleFile(const ModuleFile&) = delete;
    ModuleFile& operator=(const ModuleFile&) = delete;
    ~ModuleFile() { std::filesystem::remove(path); }

    std::string path;
};

struct Booted {
    std::string text;
    BootFormat format;
    std::string told;  ///< the plan's notes
};

/// Runs the guest to its HLT, after the memory has been filled with what a guest before it could have left.
Booted run_kernel(BootRequest request) {
    asio::io_context loop{1};
    TestMachine test(loop, 1, make_accelerator_under_test(), [](MachineConfig& config) { config.memory_size = ram; });
    const auto printer = std::make_shared<Printer>();
    test.machine.ports().attach({0x3f8, 8}, printer);
    std::array<std::byte, 4096> rubbish{};
    rubbish.fill(std::byte{0xcc});
    for (std::uint64_t at = 0; at < ram; at += rubbish.size()) test.machine.memory().write(at, rubbish);
    Boot boot(std::move(request), ram);
    boot.plan({.map = {{0, 0x9f000, MemoryKind::ram},
                       {0x9f000, 0x61000, MemoryKind::reserved},
                       {0x100000, ram - 0x100000, MemoryKind::ram}}});
    test.machine.set_registers(0, boot.load(test.machine.memory()));
    const auto outcome = test.run();
    BOOST_TEST((outcome.kind == Outcome::Kind::halted), outcome.summary);
    Booted booted{printer->text, boot.format(), {}};
    for (const auto& note : boot.notes()) booted.told += note;
    return booted;
}

BootRequest request_for(const std::string& name) { return {.path = kernel_path(name)}; }

/// With a command line and modules.
BootRequest full_request(const std::string& name, const ModuleFile& module, const ModuleFile& initrd) {
    auto request = request_for(name);
    request.command_line = "one two";
    request.modules.push_back({module.path, "with arguments"});
    request.initrd = initrd.path;
    return request;
}

}  // namespace

BOOST_AUTO_TEST_CASE(an_elf_kernel_of_32_bits_starts) {
    const auto booted = run_kernel(request_for("elf32"));
    BOOST_TEST((booted.format == BootFormat::elf));
    BOOST_TEST(booted.text == "12345678\nzeros: yes\n40000001\n");
    BOOST_TEST(booted.told == "");
}

BOOST_AUTO_TEST_CASE(an_elf_kernel_of_64_bits_starts) {
    const auto booted = run_kernel(request_for("elf64"));
    BOOST_TEST((booted.format == BootFormat::elf));
    BOOST_TEST(booted.text == "elf64 ok\n");
    BOOST_TEST(booted.told == "");
}

BOOST_AUTO_TEST_CASE(a_multiboot_kernel_finds_its_information) {
    const ModuleFile module("a module");
    const ModuleFile initrd("an initrd");
    const auto booted = run_kernel(full_request("multiboot", module, initrd));
    BOOST_TEST((booted.format == BootFormat::multiboot));
    BOOST_TEST(booted.text ==
               "multiboot: eax 2badb002\n"
               "loader: asyncvm\n"
               "command line: one two\n"
               "memory from 00000000, bytes 0009f000\n"
               "zeros: yes\n"
               "module with arguments: a module\n"
               "module : an initrd\n");
}

BOOST_AUTO_TEST_CASE(a_multiboot2_kernel_finds_its_tags) {
    const ModuleFile module("a module");
    const ModuleFile initrd("an initrd");
    const auto booted = run_kernel(full_request("multiboot2", module, initrd));
    BOOST_TEST((booted.format == BootFormat::multiboot2));
    BOOST_TEST(booted.text ==
               "multiboot2: eax 36d76289\n"
               "zeros: yes\n"
               "command line: one two\n"
               "loader: asyncvm\n"
               "module with arguments: a module\n"
               "module : an initrd\n"
               "memory from 00000000, bytes 0009f000\n");
}

BOOST_AUTO_TEST_CASE(a_pvh_kernel_finds_its_start_info) {
    const ModuleFile module("a module");
    const ModuleFile initrd("an initrd");
    const auto booted = run_kernel(full_request("pvh", module, initrd));
    BOOST_TEST((booted.format == BootFormat::pvh));
    BOOST_TEST(booted.text ==
               "pvh: magic 336ec578, version 00000001\n"
               "command line: one two\n"
               "memory from 00000000, bytes 0009f000\n"
               "zeros: yes\n"
               "module : an initrd\n"
               "module with arguments: a module\n");
}

BOOST_AUTO_TEST_CASE(the_format_can_be_forced) {
    auto request = request_for("pvh");
    request.format = BootFormat::elf;
    // Its code is of 32 bits, and so is the ELF file.
    BOOST_TEST(run_kernel(request).text == "not entered by its note\n");
}
