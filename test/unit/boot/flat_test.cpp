#define BOOST_TEST_MODULE boot

#include <asyncvm/loader.hpp>

#include "throws.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <boost/test/unit_test.hpp>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

using namespace asyncvm;
using asyncvm::test::contains;
using asyncvm::test::message_of;

namespace {

constexpr std::uint64_t mib = 1 << 20;

/// A directory that is gone at the end of the test.
class Directory {
public:
    Directory() {
        std::string name = (std::filesystem::temp_directory_path() / "loader-XXXXXX").string();
        BOOST_REQUIRE(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    ~Directory() { std::filesystem::remove_all(path_); }

    [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).string(); }

    std::string file(const std::string& name, const std::string& content) const {
        std::ofstream(*this / name, std::ios::binary) << content;
        return *this / name;
    }

private:
    std::filesystem::path path_;
};

std::string text_at(const GuestMemory& memory, std::uint64_t address, std::size_t size) {
    std::string text(size, '?');
    memory.read(address, std::as_writable_bytes(std::span(text)));
    return text;
}

std::string error_of(GuestMemory& memory, const FlatGuest& guest) {
    return message_of(ErrorKind::guest_image, [&] { static_cast<void>(load_flat(memory, guest)); });
}

FlatGuest at(std::string path, std::uint64_t load) { return {.path = std::move(path), .load = load}; }

}  // namespace

BOOST_AUTO_TEST_CASE(a_file_is_loaded_at_its_address_and_entered_there) {
    const Directory directory;
    GuestMemory memory(mib);
    const auto loaded = load_flat(memory, {.path = directory.file("guest.bin", "hello")});
    BOOST_TEST(loaded.size == 5u);
    BOOST_TEST(loaded.note.empty());
    BOOST_TEST(text_at(memory, 0xffff, 7) == std::string("\0hello\0", 7));
    BOOST_TEST(loaded.registers.cs.base + loaded.registers.rip == 0x10000u);
}

BOOST_AUTO_TEST_CASE(an_image_can_come_from_memory) {
    GuestMemory memory(mib);
    const std::string image = "hello";
    const auto loaded =
        load_flat(memory, {.path = "built in", .bytes = std::as_bytes(std::span(image)), .load = 0x7c00, .entry = 0x7c02});
    BOOST_TEST(loaded.size == 5u);
    BOOST_TEST(text_at(memory, 0x7c00, 5) == "hello");
    BOOST_TEST(loaded.registers.cs.base == 0u);
    BOOST_TEST(loaded.registers.rip == 0x7c02u);
    BOOST_TEST(error_of(memory, {.path = "built in", .bytes = std::span<const std::byte>()}) ==
               "built in is empty: there is no guest in it");
    const std::vector<std::byte> large(mib);
    BOOST_TEST(
        contains(error_of(memory, {.path = "built in", .bytes = large}), "built in has 1048576 bytes, but only 983040"));
}

BOOST_AUTO_TEST_CASE(a_pipe_is_read_to_its_end) {
    const Directory directory;
    const std::string path = directory / "pipe";
    BOOST_REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    const std::string image(300'000, 'x');
    std::thread writer([&] { std::ofstream(path, std::ios::binary) << image; });
    GuestMemory memory(mib);
    const auto loaded = load_flat(memory, {.path = path});
    writer.join();
    BOOST_TEST(loaded.size == image.size());
    BOOST_TEST((text_at(memory, 0x10000, image.size()) == image));
}

BOOST_AUTO_TEST_CASE(a_dash_is_the_standard_input) {
    int ends[2];
    BOOST_REQUIRE(::pipe(ends) == 0);
    // Left non-blocking, as some parents do: there is nothing to read at first.
    BOOST_REQUIRE(::fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    const int saved = ::dup(STDIN_FILENO);
    ::dup2(ends[0], STDIN_FILENO);
    ::close(ends[0]);
    std::thread writer([&] {
        static_cast<void>(::write(ends[1], "hello", 5));
        ::close(ends[1]);
    });
    GuestMemory memory(mib);
    const auto loaded = load_flat(memory, {.path = "-"});
    writer.join();
    BOOST_TEST(loaded.size == 5u);
    BOOST_TEST(error_of(memory, {.path = "-"}) == "the standard input is empty: there is no guest in it");
    ::dup2(saved, STDIN_FILENO);
    ::close(saved);
}

BOOST_AUTO_TEST_CASE(files_that_cannot_be_read_are_named_with_the_reason) {
    const Directory directory;
    GuestMemory memory(mib);
    const std::string missing = directory / "missing.bin";
    BOOST_TEST(error_of(memory, {.path = missing}) == "cannot open " + missing + ": no such file or directory");
    BOOST_TEST(contains(error_of(memory, {.path = directory / "."}), "it is a directory"));
    BOOST_TEST(contains(error_of(memory, {.path = directory.file("empty.bin", "")}), "empty.bin is empty"));
    if (::geteuid() != 0) {
        const std::string secret = directory.file("secret.bin", "x");
        BOOST_REQUIRE(::chmod(secret.c_str(), 0) == 0);
        BOOST_TEST(error_of(memory, {.path = secret}) == "cannot open " + secret + ": permission denied");
    }
}

BOOST_AUTO_TEST_CASE(a_file_that_fills_the_memory_to_the_last_byte_fits) {
    const Directory directory;
    GuestMemory memory(mib);
    const std::string path = directory.file("guest.bin", std::string(mib - 0x10000, 'x'));
    BOOST_TEST(load_flat(memory, {.path = path}).size == mib - 0x10000);
    BOOST_TEST(error_of(memory, at(path, 0x10001)) ==
               path + " has 983040 bytes, but only 983039 bytes of memory follow 0x10001 (raise --memory or lower --load)");
}

BOOST_AUTO_TEST_CASE(what_tells_no_size_is_still_bounded_by_the_memory) {
    GuestMemory memory(mib);
    BOOST_TEST(error_of(memory, {.path = "/dev/zero"}) ==
               "/dev/zero has more than 1048576 bytes, but the guest's memory has only 1048576 (raise --memory)");
}

BOOST_AUTO_TEST_CASE(a_file_does_not_reach_across_the_hole_below_4_gib) {
    const Directory directory;
    GuestMemory memory(GuestMemory::low_limit + mib);
    const std::string path = directory.file("guest.bin", std::string(8192, 'x'));
    BOOST_TEST(contains(error_of(memory, {.path = path, .load = GuestMemory::low_limit - 4096, .mode = Mode::long64}),
                        "only 4096 bytes of memory follow 0xbffff000 (lower --load)"));
    for (const std::uint64_t load : {0xc0000000U, 0xffc00000U, 0xffffffffU}) {
        const auto error = error_of(memory, {.path = path, .load = load, .mode = Mode::long64});
        BOOST_TEST(contains(error, "is between 3 GiB and 4 GiB, where no machine has RAM, whatever its size"), error);
        BOOST_TEST(!contains(error, "raise --memory"), error);
    }
    BOOST_TEST(contains(error_of(memory, {.path = path, .load = 0x10000, .entry = 0xffc00000, .mode = Mode::long64}),
                        "--entry 0xffc00000 is between 3 GiB and 4 GiB"));
    BOOST_TEST(contains(error_of(memory, {.path = path, .load = 0x200000000, .entry = 0x10000, .mode = Mode::long64}),
                        "--load 0x200000000 is outside of the guest's memory"));
}

BOOST_AUTO_TEST_CASE(the_boot_tables_are_no_place_for_a_guest) {
    const Directory directory;
    GuestMemory memory(mib);
    memory.boot_tables();
    const std::string path = directory.file("guest.bin", "x");
    BOOST_TEST(contains(error_of(memory, {.path = path, .load = GuestMemory::boot_tables_base, .mode = Mode::long64}),
                        "between 3 GiB and 4 GiB"));
}

BOOST_AUTO_TEST_CASE(the_entry_must_be_in_the_memory_and_in_reach_of_the_mode) {
    const Directory directory;
    const std::string path = directory.file("guest.bin", "x");
    GuestMemory memory(5 * GuestMemory::high_base / 4);
    BOOST_TEST(contains(error_of(memory, {.path = path, .load = 0x100000}), "it must be <= 0xfffff (lower --load"));
    BOOST_TEST(contains(error_of(memory, {.path = path, .entry = 0x100000}), "it must be <= 0xfffff (lower --entry"));
    BOOST_TEST(load_flat(memory, {.path = path, .load = 0x100000, .entry = 0xfffff}).size == 1u);
    BOOST_TEST(load_flat(memory, {.path = path, .load = 0x100000, .mode = Mode::protected32}).registers.rip == 0x100000u);
    for (const Mode mode : {Mode::protected32, Mode::long64}) {
        const auto high = GuestMemory::high_base;
        BOOST_TEST(contains(error_of(memory, {.path = path, .entry = high, .mode = mode}), "below 4 GiB (lower --entry)"));
        BOOST_TEST(contains(error_of(memory, {.path = path, .load = high, .mode = mode}), "lower --load, or set --entry"));
        BOOST_TEST(load_flat(memory, {.path = path, .load = high, .entry = 0, .mode = mode}).registers.rip == 0u);
    }
    GuestMemory small(mib);
    BOOST_TEST(contains(error_of(small, {.path = path, .entry = mib, .mode = Mode::long64}), "--entry 0x100000 is outside"));
    BOOST_TEST(contains(error_of(small, {.path = path, .load = ~std::uint64_t{0}}), "--load 0xffffffffffffffff is outside"));
}

BOOST_AUTO_TEST_CASE(the_header_of_another_format_is_worth_a_note) {
    GuestMemory memory(mib);
    std::string elf(64, '\0');
    elf.replace(0, 4, "\x7f\x45LF");
    std::string linux_kernel(0x300, '\0');
    linux_kernel.replace(0x1fe, 2, "\x55\xaa");
    linux_kernel.replace(0x202, 4, "HdrS");
    const std::uint32_t header[] = {0x1bad'b002, 3, 0 - 0x1bad'b002u - 3};
    const std::uint32_t second[] = {0xe852'50d6, 0, 16, 0 - 0xe852'50d6u - 16};
    const std::span<const std::byte> images[] = {std::as_bytes(std::span(elf)), std::as_bytes(std::span(linux_kernel)),
                                                 std::as_bytes(std::span(header)), std::as_bytes(std::span(second))};
    for (const auto& image : images) {
        const auto loaded = load_flat(memory, {.path = "kernel.bin", .bytes = image});
        BOOST_TEST(contains(loaded.note, "kernel.bin has the header of another format, which is not used"));
    }
}
