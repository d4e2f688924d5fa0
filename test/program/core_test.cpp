// Core files: of guests that crash, and on command.
#define BOOST_TEST_MODULE core
#include "control_vm.hpp"
#include "harness.hpp"
#include "small_guests.hpp"

#include <elf.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

using namespace program_test;

namespace {

constexpr std::uint64_t loaded_at = 0x10000;

/// In 32-bit mode: mov al, 'S'; out 0xe9, al; mov dx, 0x3fd; poll: in al, dx; test al, 1; jz poll; ud2 -- dies of a byte
const std::string crashing_guest = guest_code("\xb0S\xe6\xe9\x66\xba\xfd\x03\xec\xa8\x01\x74\xfb\x0f\x0b");

/// In 64-bit mode: mov rbx, 0x123456789abcdef; mov al, 'S'; out 0xe9, al; jmp $
const std::string spinning_guest_64 = guest_code("\x48\xbb\xef\xcd\xab\x89\x67\x45\x23\x01\xb0S\xe6\xe9\xeb\xfe");

/// A core file of 32 or 64 bits.
class Core {
public:
    explicit Core(const std::string& path) : file_(path, std::ios::binary) {
        const auto begin = part(0, EI_NIDENT);
        BOOST_TEST_REQUIRE(begin.substr(0, SELFMAG) == ELFMAG);
        is_64_ = begin[EI_CLASS] == ELFCLASS64;
        if (is_64_) {
            read<Elf64_Ehdr, Elf64_Phdr>();
        } else {
            read<Elf32_Ehdr, Elf32_Phdr>();
        }
    }

    /// What is at a physical address.
    [[nodiscard]] std::string memory(std::uint64_t address, std::size_t size) {
        for (const auto& header : headers_) {
            if (header.p_type != PT_LOAD || address < header.p_paddr || address - header.p_paddr >= header.p_filesz)
                continue;
            return part(header.p_offset + (address - header.p_paddr), size);
        }
        return {};
    }
    /// At `offset` of the first vCPU's status.
    template <typename T>
    [[nodiscard]] T status(std::size_t offset) {
        constexpr std::size_t heading = sizeof(Elf64_Nhdr) + 8;  // and "CORE"
        return value<T>(headers_.at(0).p_offset + heading + offset);
    }
    [[nodiscard]] bool is_64() const { return is_64_; }
    [[nodiscard]] std::size_t loads() const { return headers_.size() - 1; }

private:
    std::string part(std::uint64_t offset, std::size_t size) {
        std::string text(size, '\0');
        file_.seekg(static_cast<std::streamoff>(offset));
        file_.read(text.data(), static_cast<std::streamsize>(size));
        BOOST_TEST(file_.good());
        return text;
    }
    template <typename T>
    T value(std::uint64_t offset) {
        T value{};
        std::memcpy(&value, part(offset, sizeof value).data(), sizeof value);
        return value;
    }
    template <typename FileHeader, typename ProgramHeader>
    void read() {
        const auto file = value<FileHeader>(0);
        BOOST_TEST(file.e_type == unsigned{ET_CORE});
        for (unsigned i = 0; i < file.e_phnum; ++i) {
            const auto header = value<ProgramHeader>(file.e_phoff + i * sizeof(ProgramHeader));
            headers_.push_back({.p_type = header.p_type,
                                .p_flags = header.p_flags,
                                .p_offset = header.p_offset,
                                .p_vaddr = header.p_vaddr,
                                .p_paddr = header.p_paddr,
                                .p_filesz = header.p_filesz,
                                .p_memsz = header.p_memsz,
                                .p_align = header.p_align});
        }
    }

    std::ifstream file_;
    bool is_64_ = false;
    std::vector<Elf64_Phdr> headers_;
};

std::uint64_t room_of(const std::string& path) {
    struct stat status {};
    BOOST_TEST_REQUIRE(::stat(path.c_str(), &status) == 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

std::string dump(const std::string& path, const std::string& more = "") {
    return R"({"execute":"dump-guest-memory","arguments":{"paging":false,"protocol":"file:)" + path + "\"" + more + "}}";
}

/// Dies when a key comes.
struct Mortal {
    explicit Mortal(const std::string& core) {
        write_file(directory.file("guest"), crashing_guest);
        child = std::make_unique<Child>(asyncvm(
            {"--mode", "32", "--serial", "unix:" + directory.file("serial"), "--core", core, directory.file("guest")}));
        child->wait_for_output("S");
        key = std::make_unique<Peer>(directory.file("serial"));
    }
    const Ended& die() {
        key->say("x");
        return child->wait();
    }
    TemporaryDirectory directory;
    std::unique_ptr<Child> child;
    std::unique_ptr<Peer> key;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_guest_that_crashes_leaves_a_core) {
    const TemporaryDirectory directory;
    const auto path = directory.file("core");
    Mortal guest(path);
    const auto& ended = guest.die();
    BOOST_TEST(ended.code == 80);
    BOOST_TEST(ended.err.find("the guest's core is " + path + " (128 MiB of memory)") != std::string::npos, ended.err);
    Core core(path);
    BOOST_TEST(core.memory(loaded_at, crashing_guest.size()) == crashing_guest);
    BOOST_TEST(core.status<std::uint16_t>(12) == 11u);  // SIGSEGV
    // 128 MiB are in it, and next to nothing has been touched.
    BOOST_TEST(std::filesystem::file_size(path) > 128u << 20);
    BOOST_TEST(room_of(path) < 1u << 20);
}

BOOST_AUTO_TEST_CASE(a_guest_that_ends_well_leaves_none_and_one_whose_halt_is_a_failure_does) {
    const TemporaryDirectory directory;
    write_file(directory.file("guest"), halting_guest);
    const auto path = directory.file("core");
    BOOST_TEST(run_asyncvm({"--serial", "null", "--core", path, directory.file("guest")}).code == 0);
    BOOST_TEST(!std::filesystem::exists(path));
    BOOST_TEST(run_asyncvm({"--serial", "null", "--core", path, "--on-halt", "fail", directory.file("guest")}).code == 86);
    BOOST_TEST(Core(path).memory(loaded_at, 1) == "\xf4");
}

BOOST_AUTO_TEST_CASE(a_place_where_no_core_can_be_is_told_before_the_guest_runs) {
    const TemporaryDirectory directory;
    write_file(directory.file("guest"), spinning_guest);
    for (const auto& path : {directory.file("no/core"), directory.file(""), std::string("/dev/null")}) {
        const auto ended = run_asyncvm({"--serial", "null", "--core", path, directory.file("guest")});
        BOOST_TEST(ended.code == 72);
        BOOST_TEST(ended.err.find(path) != std::string::npos, ended.err);
        BOOST_TEST(ended.out.empty());
    }
}

BOOST_AUTO_TEST_CASE(a_full_disk_is_a_message_and_the_exit_code_is_the_guests) {
    const TemporaryDirectory directory;
    const auto path = directory.file("core");
    write_file(path, "an older one");
    Mortal guest(path);
    const rlimit little{.rlim_cur = 4096, .rlim_max = RLIM_INFINITY};
    BOOST_TEST_REQUIRE(::prlimit(guest.child->pid(), RLIMIT_FSIZE, &little, nullptr) == 0);
    const auto& ended = guest.die();
    BOOST_TEST(ended.code == 80);
    BOOST_TEST(ended.err.find("cannot write the core " + path + ": file too large") != std::string::npos, ended.err);
    BOOST_TEST(ended.err.find("triple fault") != std::string::npos, ended.err);
    BOOST_TEST(read_file(path) == "an older one");
}

BOOST_AUTO_TEST_CASE(on_command_the_guest_stands_while_it_is_written) {
    Running vm(spinning_guest_64, {"--mode", "64"});
    const auto path = vm.file("core");
    vm.peer->say(dump(path));
    BOOST_TEST(vm.peer->event() == R"("STOP"})");
    const auto completed = vm.peer->event();
    BOOST_TEST(completed.starts_with(R"("DUMP_COMPLETED","data":{"result":{"status":"completed","completed":)"), completed);
    BOOST_TEST(vm.peer->event() == R"("RESUME"})");
    BOOST_TEST(vm.peer->line() == R"({"return":{}})");
    Core core(path);
    BOOST_TEST(core.is_64());
    BOOST_TEST(core.loads() == 2u);
    BOOST_TEST(core.memory(loaded_at, spinning_guest_64.size()) == spinning_guest_64);
    BOOST_TEST(core.status<std::uint64_t>(112 + 8 * 5) == 0x123456789abcdefu);                         // rbx
    BOOST_TEST(core.status<std::uint64_t>(112 + 8 * 16) == loaded_at + spinning_guest_64.size() - 2);  // rip
    BOOST_TEST(core.status<std::uint16_t>(12) == 0u);
    BOOST_TEST(vm.peer->ask(R"({"execute":"query-dump"})").find(R"("status":"completed")") != std::string::npos);
    // A guest that is paused stays so, without a word.
    vm.peer->say(R"({"execute":"stop"})" + dump(path) + R"({"execute":"query-status"})");
    BOOST_TEST(vm.peer->event() == R"("STOP"})");
    BOOST_TEST(vm.peer->line() == R"({"return":{}})");
    BOOST_TEST(vm.peer->event().starts_with(R"("DUMP_COMPLETED")"));
    BOOST_TEST(vm.peer->line() == R"({"return":{}})");
    BOOST_TEST(vm.peer->line().find("paused") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_part_of_memory_can_be_asked_for) {
    Running vm;
    const auto path = vm.file("core");
    vm.peer->say(dump(path, R"(,"begin":65537,"length":3)") + R"({"execute":"query-dump"})");
    for (std::string line; line != R"({"return":{}})";) line = vm.peer->line();
    BOOST_TEST(vm.peer->line() == R"({"return":{"status":"completed","completed":3,"total":3}})");
    BOOST_TEST(Core(path).memory(loaded_at + 1, 3) == spinning_guest.substr(1, 3));
    BOOST_TEST(!Core(path).is_64());
    BOOST_TEST(Core(path).status<std::uint32_t>(72 + 4 * 12) == loaded_at + 4);  // eip
}

BOOST_AUTO_TEST_CASE(while_one_is_written_in_the_background_nothing_lets_the_guest_go_on) {
    Running vm(spinning_guest, {"--memory", "1G"});
    const auto path = vm.file("core");
    const std::string wait = R"({"error":{"class":"GenericError","desc":"There is a dump in process, please wait."}})";
    vm.peer->say(dump(path, R"(,"detach":true)") + R"({"execute":"cont"}{"execute":"system_reset"})" + dump(path));
    BOOST_TEST(vm.peer->line() == R"({"return":{}})");
    std::vector<std::string> lines;
    while (lines.size() < 6) lines.push_back(vm.peer->line());
    BOOST_TEST(std::ranges::count(lines, wait) == 3);
    BOOST_TEST(lines.back().find("\"RESUME\"") != std::string::npos, lines.back());
    BOOST_TEST(Core(path).memory(loaded_at, spinning_guest.size()) == spinning_guest);
}

BOOST_AUTO_TEST_CASE(what_can_not_be_dumped_is_refused) {
    Running vm;
    const auto refused = [&](const std::string& command, std::string_view why) {
        vm.peer->say(command);
        std::string line = vm.peer->line();
        while (line.find("\"event\"") != std::string::npos) line = vm.peer->line();
        BOOST_TEST(line.find(why) != std::string::npos, line);
    };
    refused(dump(vm.file("no/core")), "no such file or directory");
    refused(dump(vm.file("core"), R"(,"begin":2147483648,"length":1)"), "no guest memory to dump");
    refused(dump(vm.file("core"), R"(,"format":"kdump-zlib")"), "kdump-zlib is not available now");
    BOOST_TEST(!std::filesystem::exists(vm.file("core")));
}
