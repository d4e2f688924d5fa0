// A flush is answered when the data are stable: whatever was flushed before a process was killed is in the file.
#define BOOST_TEST_MODULE block_flush
#include <boost/test/unit_test.hpp>

#include "block_fixture.hpp"
#include "os/unique_fd.hpp"

#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <random>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

constexpr std::uint64_t blocks = 64;
constexpr std::uint64_t block_size = 4096;

/// The block that is written as number `sequence` of all.
Bytes block_of(std::uint64_t sequence) {
    auto bytes = pattern(block_size, static_cast<unsigned>(sequence));
    std::memcpy(bytes.data(), &sequence, sizeof sequence);
    return bytes;
}

awaitable<std::error_code> write_and_flush(BlockBackend& disk, int report) {
    for (std::uint64_t sequence = 1;; ++sequence) {
        const auto bytes = block_of(sequence);
        const std::array spans{std::span<const std::byte>(bytes)};
        const auto error = co_await disk.write(sequence % blocks * block_size, spans);
        if (error) co_return error;
        if (sequence % 3 != 0) continue;
        const auto unstable = co_await disk.flush();
        if (unstable) co_return unstable;
        if (::write(report, &sequence, sizeof sequence) != sizeof sequence) co_return std::error_code();
    }
}

[[noreturn]] void child(const std::string& disk_text, int report) {
    asio::io_context loop{1};
    const auto disk = open_disk(parse_disk_spec(disk_text), loop, Log());
    asio::co_spawn(loop, write_and_flush(*disk, report), [](const std::exception_ptr&, std::error_code) { ::_exit(1); });
    loop.run();
    ::_exit(2);
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(what_was_flushed_before_a_kill_is_in_the_file, BlockFixture) {
    std::mt19937 random(20);  // NOLINT: the same points each time
    for (int round = 0; round < 20; ++round) {
        const auto image = make_image(Bytes(blocks * block_size));
        int ends[2];
        BOOST_REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        const UniqueFd reading(ends[0]);
        UniqueFd writing(ends[1]);
        const pid_t pid = ::fork();
        if (pid == 0) child(image + (round % 2 != 0 ? ",cache=none" : ""), writing.get());
        writing.reset();
        std::uint64_t flushed = 0;
        const auto reports = 1 + random() % 40;
        for (unsigned i = 0; i < reports; ++i) {
            BOOST_REQUIRE(::read(reading.get(), &flushed, sizeof flushed) == sizeof flushed);
        }
        BOOST_REQUIRE(::kill(pid, SIGKILL) == 0);
        int status = 0;
        BOOST_REQUIRE(::waitpid(pid, &status, 0) == pid);
        BOOST_TEST(WIFSIGNALED(status));
        while (::read(reading.get(), &flushed, sizeof flushed) == sizeof flushed) {
        }
        // A block holds what was flushed last, or something later.
        const auto bytes = contents(image);
        BOOST_REQUIRE(bytes.size() == blocks * block_size);
        for (std::uint64_t sequence = flushed; sequence != 0 && flushed - sequence < blocks; --sequence) {
            std::uint64_t found = 0;
            std::memcpy(&found, bytes.data() + sequence % blocks * block_size, sizeof found);
            BOOST_TEST_CONTEXT("round " << round << ", " << sequence << " of " << flushed << ", found " << found) {
                BOOST_TEST(found >= sequence);
                BOOST_TEST(found % blocks == sequence % blocks);
            }
        }
    }
}
