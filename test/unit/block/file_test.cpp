// Real files, through each engine, by the page cache and past it.
#define BOOST_TEST_MODULE block_file
#include <boost/mpl/vector.hpp>
#include <boost/test/unit_test.hpp>

#include "block/file_backend.hpp"
#include "block/uring.hpp"
#include "block_fixture.hpp"

#include <sys/stat.h>

#include <memory>

using namespace asyncvm;
using namespace asyncvm::test;
using block::DiskFile;
using block::Engines;
using block::FileBackend;

namespace {

constexpr std::size_t disk_size = 1 << 20;

struct Way {
    Engines engines;
    bool direct;
};

constexpr Way ways[] = {
    {Engines::threads, false}, {Engines::automatic, false}, {Engines::threads, true}, {Engines::automatic, true}};

std::ostream& operator<<(std::ostream& out, const Way& way) {
    return out << (way.engines == Engines::threads ? "threads" : "io_uring") << (way.direct ? ", direct" : "");
}

struct FileFixture : BlockFixture {
    std::shared_ptr<FileBackend> open(const Way& way, const std::string& name, bool read_only = false) {
        DiskSpec spec;
        spec.source = name;
        spec.direct = way.direct;
        spec.read_only = read_only;
        return std::make_shared<FileBackend>(block::open_file(spec), loop, log(), way.engines);
    }
    /// Calls `check(disk, image's path)` for each way, with a new disk.
    template <typename Check>
    void each_way(Check check) {
        for (const Way& way : ways) {
            BOOST_TEST_CONTEXT(way) {
                const auto image = make_image(pattern(disk_size, 1));
                check(*open(way, image), image);
            }
        }
    }
};

std::uint64_t bytes_on_host(const std::string& name) {
    struct stat status {};
    BOOST_REQUIRE(::stat(name.c_str(), &status) == 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

awaitable<std::error_code> read_one(FileBackend& disk, std::uint64_t offset, std::span<std::byte> to) {
    const std::array spans{to};
    const auto error = co_await disk.read(offset, spans);
    co_return error;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(what_is_written_is_in_the_file_and_is_read, FileFixture) {
    each_way([this](FileBackend& disk, const std::string& image) {
        BOOST_TEST(disk.properties().size == disk_size);
        const auto written = pattern(8192, 2);
        BOOST_TEST(!write(disk, 4096, written));
        BOOST_TEST((read(disk, 4096, written.size()) == written));
        BOOST_TEST(!await(disk.flush()));
        auto whole = pattern(disk_size, 1);
        std::ranges::copy(written, whole.begin() + 4096);
        BOOST_TEST((contents(image) == whole));
    });
}

BOOST_FIXTURE_TEST_CASE(the_pieces_of_a_transfer_may_lie_anywhere_and_have_any_size, FileFixture) {
    each_way([this](FileBackend& disk, const std::string&) {
        const auto all = pattern(disk_size, 1);
        Bytes memory(4096 + 3);
        const std::array<std::span<std::byte>, 4> to{std::span(memory).subspan(3, 1), std::span(memory).subspan(5, 0),
                                                     std::span(memory).subspan(7, 1000),
                                                     std::span(memory).subspan(1007, 535)};
        BOOST_TEST(!await(disk.read(512, to)));
        BOOST_TEST((memory[3] == all[512]));
        BOOST_TEST((std::ranges::equal(std::span(memory).subspan(7, 1535), std::span(all).subspan(513, 1535))));
        BOOST_TEST((memory[1542] == std::byte{0}));
        const std::array<std::span<const std::byte>, 2> from{std::span(memory).subspan(7, 1000),
                                                             std::span(memory).subspan(1007, 24)};
        BOOST_TEST(!await(disk.write(4096, from)));
        BOOST_TEST((std::ranges::equal(read(disk, 4096, 1024), std::span(memory).subspan(7, 1024))));
    });
}

BOOST_FIXTURE_TEST_CASE(a_large_transfer_is_whole, FileFixture) {
    each_way([this](FileBackend& disk, const std::string&) {
        const auto bytes = pattern(disk_size, 3);
        BOOST_TEST(!write(disk, 0, bytes));
        BOOST_TEST((read(disk, 0, disk_size) == bytes));
        // More pieces than one system call takes.
        Bytes memory(disk_size);
        std::vector<std::span<std::byte>> pieces;
        for (std::size_t at = 0; at < memory.size(); at += 512) pieces.push_back(std::span(memory).subspan(at, 512));
        BOOST_TEST(!await(disk.read(0, pieces)));
        BOOST_TEST((memory == bytes));
    });
}

BOOST_FIXTURE_TEST_CASE(what_is_outside_of_the_disk_is_refused_and_changes_nothing, FileFixture) {
    each_way([this](FileBackend& disk, const std::string& image) {
        const auto block = pattern(1024, 2);
        Bytes memory(1024);
        for (const std::uint64_t offset : {std::uint64_t{disk_size - 512}, std::uint64_t{disk_size}, ~std::uint64_t{511}}) {
            BOOST_TEST((write(disk, offset, block) == error_of(std::errc::invalid_argument)));
            BOOST_TEST((read(disk, offset, std::span(memory)) == error_of(std::errc::invalid_argument)));
            BOOST_TEST((await(disk.discard(offset, 1024)) == error_of(std::errc::invalid_argument)));
            BOOST_TEST((await(disk.write_zeroes(offset, 1024, true)) == error_of(std::errc::invalid_argument)));
        }
        BOOST_TEST((contents(image) == pattern(disk_size, 1)));
        BOOST_TEST(!write(disk, disk_size - 1024, block));
    });
}

BOOST_FIXTURE_TEST_CASE(a_read_only_disk_takes_no_write_of_any_kind, FileFixture) {
    for (const Way& way : ways) {
        const auto image = make_image(pattern(disk_size, 1));
        const auto disk = open(way, image, true);
        BOOST_TEST(disk->properties().read_only);
        BOOST_TEST((write(*disk, 0, pattern(512, 2)) == error_of(std::errc::read_only_file_system)));
        BOOST_TEST((await(disk->discard(0, 512)) == error_of(std::errc::read_only_file_system)));
        BOOST_TEST((await(disk->write_zeroes(0, 512, false)) == error_of(std::errc::read_only_file_system)));
        BOOST_TEST(!await(disk->flush()));
        BOOST_TEST((contents(image) == pattern(disk_size, 1)));
    }
}

BOOST_FIXTURE_TEST_CASE(a_file_that_has_become_shorter_gives_errors_and_one_line, FileFixture) {
    each_way([this](FileBackend& disk, const std::string& image) {
        lines.clear();
        BOOST_REQUIRE(::truncate(image.c_str(), 4096) == 0);
        Bytes memory(4096);
        for (int i = 0; i < 3; ++i) {
            BOOST_TEST((read(disk, 8192, std::span(memory)) == error_of(std::errc::io_error)));
        }
        BOOST_REQUIRE(lines.size() == 1u);
        BOOST_TEST(has(lines[0], "disk.img: a read failed: input/output error"));
    });
}

BOOST_FIXTURE_TEST_CASE(a_full_disk_gives_its_error_and_one_line, FileFixture) {
    for (const Engines engines : {Engines::threads, Engines::automatic}) {
        lines.clear();
        DiskFile file;
        file.fd = UniqueFd(::open("/dev/full", O_RDWR | O_CLOEXEC));
        file.name = "full.img";
        file.size = disk_size;
        FileBackend disk(std::move(file), loop, log(), engines);
        for (int i = 0; i < 2; ++i) {
            BOOST_TEST((write(disk, 0, pattern(512, 1)) == error_of(std::errc::no_space_on_device)));
        }
        BOOST_REQUIRE(lines.size() == 1u);
        BOOST_TEST(has(lines[0], "full.img: a write failed: no space left on device"));
    }
}

// What can't be made stable: only the kernel itself says so.
BOOST_FIXTURE_TEST_CASE(a_flush_asks_the_kernel, FileFixture) {
    for (const Engines engines : {Engines::threads, Engines::automatic}) {
        DiskFile file;
        file.fd = UniqueFd(::open("/dev/full", O_RDWR | O_CLOEXEC));
        file.size = disk_size;
        FileBackend disk(std::move(file), loop, log(), engines);
        BOOST_TEST((await(disk.flush()) == error_of(std::errc::invalid_argument)));
    }
}

BOOST_FIXTURE_TEST_CASE(discarded_bytes_give_their_place_back, FileFixture) {
    each_way([this](FileBackend& disk, const std::string& image) {
        BOOST_TEST(!await(disk.flush()));
        const auto before = bytes_on_host(image);
        BOOST_TEST(!await(disk.discard(65536, disk_size - 65536)));
        BOOST_TEST(bytes_on_host(image) < before);
        BOOST_TEST(std::filesystem::file_size(image) == disk_size);
        BOOST_TEST((read(disk, 0, 65536) == pattern(65536, 1)));
    });
}

BOOST_FIXTURE_TEST_CASE(zeros_are_written_where_they_were_asked_for, FileFixture) {
    each_way([this](FileBackend& disk, const std::string& image) {
        auto expected = pattern(disk_size, 1);
        for (const bool may_unmap : {false, true}) {
            const std::size_t at = may_unmap ? 131072 : 4608;
            BOOST_TEST(!await(disk.write_zeroes(at, 100 * 512, may_unmap)));
            std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(at), 100 * 512, std::byte{0});
        }
        BOOST_TEST((contents(image) == expected));
        BOOST_TEST(!await(disk.write_zeroes(disk_size - 65536, 65536, true)));
        BOOST_TEST(std::filesystem::file_size(image) == disk_size);
    });
}

// /dev/full can neither give place back nor take a byte.
BOOST_FIXTURE_TEST_CASE(where_a_file_system_can_not_give_place_back_zeros_are_written_as_bytes, FileFixture) {
    DiskFile file;
    file.fd = UniqueFd(::open("/dev/full", O_RDWR | O_CLOEXEC));
    file.size = disk_size;
    FileBackend disk(std::move(file), loop, log());
    BOOST_TEST(!await(disk.discard(0, 4096)));
    for (const bool may_unmap : {false, true}) {
        BOOST_TEST((await(disk.write_zeroes(0, 4096, may_unmap)) == error_of(std::errc::no_space_on_device)));
    }
}

BOOST_FIXTURE_TEST_CASE(many_requests_are_under_way_at_once, FileFixture) {
    each_way([this](FileBackend& disk, const std::string&) {
        const auto all = pattern(disk_size, 1);
        Bytes memory(disk_size);
        constexpr std::size_t count = 256;
        constexpr std::size_t piece = disk_size / count;
        std::size_t ended = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t at = i * 101 % count * piece;
            asio::co_spawn(loop, read_one(disk, at, std::span(memory).subspan(at, piece)),
                           [&ended](const std::exception_ptr&, std::error_code error) {
                               BOOST_TEST(!error);
                               ++ended;
                           });
        }
        loop.restart();
        loop.run();
        BOOST_TEST(ended == count);
        BOOST_TEST((memory == all));
    });
}

BOOST_FIXTURE_TEST_CASE(the_description_says_which_engine_and_why, FileFixture) {
    const auto image = make_image(pattern(disk_size, 1));
    const auto threads = open({Engines::threads, false}, image, true)->properties().description;
    BOOST_TEST(has(threads, "disk.img, 1 MiB, read-only, by threads"));
    std::string why;
    const bool has_ring = block::make_uring(why) != nullptr;
    const auto automatic = open({Engines::automatic, true}, image)->properties().description;
    BOOST_TEST(has(automatic, "past the page cache"));
    BOOST_TEST(has(automatic, has_ring ? "by io_uring" : "by threads (" + why));
}
