// What open_disk() takes and refuses, who is kept out, and snapshots.
#define BOOST_TEST_MODULE block_image
#include <boost/test/unit_test.hpp>

#include "block/file_lock.hpp"
#include "block_fixture.hpp"
#include "os/unique_fd.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <iterator>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

constexpr std::size_t disk_size = 256 << 10;

struct ImageFixture : BlockFixture {
    std::shared_ptr<BlockBackend> open(const std::string& text) { return open_disk(parse_disk_spec(text), loop, log()); }
    std::string why_not(const std::string& text) {
        return refused([this, &text] { static_cast<void>(open(text)); });
    }
};

/// Root can write every file: while this is there the process is nobody, if it was root and the host lets it.
struct NobodyForNow {
    NobodyForNow() : was(::geteuid()) {
        if (was == 0) static_cast<void>(::seteuid(65534) == 0);
    }
    ~NobodyForNow() { static_cast<void>(::seteuid(was) == 0); }
    NobodyForNow(const NobodyForNow&) = delete;
    NobodyForNow& operator=(const NobodyForNow&) = delete;
    const ::uid_t was;
};

bool has_program(const char* name) {
    return std::system(("command -v " + std::string(name) + " >/dev/null 2>&1").c_str()) == 0;
}

struct Output {
    int status;
    std::string text;
};

Output run(const std::string& command) {
    FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
    Output output{};
    std::array<char, 4096> buffer{};
    while (const auto count = std::fread(buffer.data(), 1, buffer.size(), pipe)) output.text.append(buffer.data(), count);
    output.status = ::pclose(pipe);
    return output;
}

/// This process gets EPERM for io_uring_setup(2) from now on.
void forbid_io_uring() {
    sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
                            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        ::_exit(2);
    }
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(what_is_no_disk_is_refused_with_what_to_do, ImageFixture) {
    BOOST_TEST(has(why_not(path("absent")), "no such file"));
    BOOST_TEST(has(why_not("/tmp"), "directory"));
    BOOST_TEST(has(why_not("/dev/null"), "neither a file nor a block device"));
    BOOST_TEST(has(why_not(make_image({})), "it is empty (truncate"));
    BOOST_TEST(has(why_not(make_image(pattern(1000, 1))), "1000 bytes, and a disk has blocks of 512 (truncate -s %512"));
}

BOOST_FIXTURE_TEST_CASE(an_image_of_another_format_is_refused_by_its_name, ImageFixture) {
    auto bytes = pattern(disk_size, 1);
    const std::string_view magic = "QFI\xfb";
    std::ranges::copy(std::as_bytes(std::span(magic)), bytes.begin());
    const auto message = why_not(make_image(bytes));
    BOOST_TEST(has(message, "it is a qcow2 image"));
    BOOST_TEST(has(message, "qemu-nbd -t -k /tmp/disk.sock"));
    BOOST_TEST(has(message, "nbd:unix:/tmp/disk.sock"));
}

BOOST_FIXTURE_TEST_CASE(an_image_has_one_writer_or_any_number_of_readers, ImageFixture) {
    const auto image = make_image(pattern(disk_size, 1));
    {
        const auto writer = open(image);
        BOOST_TEST(has(why_not(image), "it is in use: another program or disk has it open for writing"));
        BOOST_TEST(has(why_not(image + ",ro"), "it is in use"));
        BOOST_TEST(has(why_not(image + ",snapshot"), "it is in use"));
    }
    {
        const auto reader = open(image + ",ro");
        const auto read_only = why_not(image + ",ro");
        BOOST_TEST(read_only.empty(), read_only);
        BOOST_TEST(why_not(image + ",snapshot").empty());
        BOOST_TEST(has(why_not(image), "wants nobody to write to it"));
    }
    BOOST_TEST(why_not(image).empty());
}

BOOST_FIXTURE_TEST_CASE(qemus_tools_are_kept_out_and_keep_out, ImageFixture) {
    if (!has_program("qemu-img") || !has_program("qemu-io")) {
        BOOST_TEST_MESSAGE("skipped: qemu-img is not installed (Debian: qemu-utils)");
        return;
    }
    const auto image = make_image(pattern(disk_size, 1));
    {
        const auto writer = open(image);
        BOOST_TEST(has(run("qemu-io -f raw -c 'write 0 512' " + image).text, "lock"));
    }
    {
        const auto reader = open(image + ",ro");
        BOOST_TEST(run("qemu-io -r -f raw -c 'read 0 512' " + image).status == 0);
        BOOST_TEST(has(run("qemu-io -f raw -c 'write 0 512' " + image).text, "lock"));
    }
    // It writes as long as its input is open.
    BOOST_REQUIRE(::mkfifo(path("out").c_str(), 0600) == 0);
    FILE* const qemu = ::popen(("qemu-io -f raw " + image + " >" + path("out")).c_str(), "w");
    std::fputs("write 0 512\n", qemu);
    std::fflush(qemu);
    std::ifstream out(path("out"));
    std::string said;
    while (!has(said, "wrote") && std::getline(out, said)) {
    }
    BOOST_TEST(has(said, "wrote"));
    BOOST_TEST(has(why_not(image), "it is in use"));
    BOOST_TEST(has(why_not(image + ",ro"), "it is in use"));
    ::pclose(qemu);
    BOOST_TEST(why_not(image).empty());
}

BOOST_FIXTURE_TEST_CASE(a_snapshot_reads_what_was_written_and_leaves_the_image_alone, ImageFixture) {
    const auto original = pattern(disk_size, 1);
    const auto image = make_image(original);
    auto expected = original;
    {
        const auto disk = open(image + ",snapshot");
        BOOST_TEST(!disk->properties().read_only);
        BOOST_TEST(disk->properties().size == disk_size);
        BOOST_TEST((read(*disk, 0, disk_size) == original));
        const auto put = [&](std::size_t at, const Bytes& bytes) {
            BOOST_TEST(!write(*disk, at, bytes));
            std::ranges::copy(bytes, expected.begin() + static_cast<std::ptrdiff_t>(at));
        };
        put(512, pattern(512, 2));
        put(64 << 10, pattern(70 << 10, 3));
        put(disk_size - 512, pattern(512, 4));
        put(1024, pattern(512, 5));
        BOOST_TEST(!await(disk->write_zeroes(4096, 1024, true)));
        std::fill_n(expected.begin() + 4096, 1024, std::byte{0});
        BOOST_TEST(!await(disk->discard(0, 512)));
        BOOST_TEST(!await(disk->flush()));
        BOOST_TEST((read(*disk, 0, disk_size) == expected));
        BOOST_TEST(
            (read(*disk, 65 << 10, 512) == Bytes(expected.begin() + (65 << 10), expected.begin() + (65 << 10) + 512)));
        BOOST_TEST((write(*disk, disk_size, pattern(512, 1)) == error_of(std::errc::invalid_argument)));
        BOOST_TEST((read(*disk, 100, std::span(expected).first(0)) == error_of(std::errc::invalid_argument)));
    }
    BOOST_TEST((contents(image) == original));
    BOOST_TEST((read(*open(image + ",snapshot"), 0, disk_size) == original));
}

BOOST_FIXTURE_TEST_CASE(a_snapshot_keeps_its_file_where_tmpdir_says, ImageFixture) {
    const auto image = make_image(pattern(disk_size, 1));
    ::setenv("TMPDIR", "/nonexistent", 1);
    const auto message = why_not(image + ",snapshot");
    ::unsetenv("TMPDIR");
    BOOST_TEST(has(message, "/nonexistent: no such file"));
    BOOST_TEST(has(message, "TMPDIR"));
}

// As containers do.
BOOST_FIXTURE_TEST_CASE(where_io_uring_is_not_allowed_threads_do_its_work, ImageFixture) {
    const auto image = make_image(pattern(disk_size, 1));
    const pid_t pid = ::fork();
    BOOST_REQUIRE(pid >= 0);
    if (pid == 0) {
        forbid_io_uring();
        const auto disk = open(image + ",cache=none");
        const bool said = has(disk->properties().description, "by threads (");
        const bool works =
            !write(*disk, 4096, pattern(4096, 2)) && read(*disk, 4096, 4096) == pattern(4096, 2) && !await(disk->flush());
        ::_exit(said && works ? 0 : 1);
    }
    int status = 0;
    BOOST_REQUIRE(::waitpid(pid, &status, 0) == pid);
    BOOST_TEST(WIFEXITED(status));
    BOOST_TEST(WEXITSTATUS(status) == 0);
}

BOOST_FIXTURE_TEST_CASE(a_file_that_can_not_be_written_can_be_read, ImageFixture) {
    const auto image = make_image(pattern(disk_size, 1));
    std::filesystem::permissions(image, std::filesystem::perms(0444));
    std::filesystem::permissions(std::filesystem::path(image).parent_path(), std::filesystem::perms(0755));
    const NobodyForNow nobody;
    if (::geteuid() == 0) {
        std::puts("SKIP: root can write every file, and this root can't be somebody else");
        return;
    }
    BOOST_TEST(has(why_not(image), "add ,ro"));
    const auto read_only = why_not(image + ",ro");
    BOOST_TEST(read_only.empty(), read_only);
}
