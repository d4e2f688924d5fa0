// Disks that become larger, smaller and other ones.
#define BOOST_TEST_MODULE block_drive
#include "drive_fixture.hpp"

#include "block/file.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <csignal>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

Bytes zeros(std::size_t size) { return Bytes(size); }

struct ImageFixture : DriveFixture {
    ImageFixture() {
        make_image(pattern(image_size, 1));
        make_image(pattern(2 * image_size, 2), "other.img");
    }
    const Bytes image = pattern(image_size, 1);
    const Bytes other = pattern(2 * image_size, 2);
};

bool can_be_written_by_others(const std::string& name) {
    return refused([&name] { static_cast<void>(block::open_file(parse_disk_spec(name))); }).empty();
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_disk_grows_with_zeros_and_its_device_hears_of_it, ImageFixture) {
    const auto drive = open();
    const auto seen = drive->changed()->generation();
    BOOST_TEST(resize(*drive, 2 * image_size) == "");
    BOOST_TEST(drive->properties().size == 2 * image_size);
    BOOST_TEST(drive->changed()->generation() != seen);
    BOOST_TEST((read(*drive, 0, image_size) == image));
    BOOST_TEST((read(*drive, image_size, image_size) == zeros(image_size)));
    BOOST_TEST(!write(*drive, 2 * image_size - page.size(), page));
    auto expected = image;
    expected.resize(2 * image_size - page.size());
    expected.insert(expected.end(), page.begin(), page.end());
    BOOST_TEST((contents(path("disk.img")) == expected));
    BOOST_TEST(!can_be_written_by_others(path("disk.img")));
}

BOOST_FIXTURE_TEST_CASE(a_disk_shrinks_and_what_is_behind_its_end_is_an_error, ImageFixture) {
    const auto drive = open();
    BOOST_TEST(resize(*drive, 4096) == "");
    BOOST_TEST(std::filesystem::file_size(path("disk.img")) == 4096u);
    BOOST_TEST((read(*drive, 0, 4096) == Bytes(image.begin(), image.begin() + 4096)));
    BOOST_TEST(write(*drive, 4096, page) == error_of(std::errc::invalid_argument));
    BOOST_TEST(std::filesystem::file_size(path("disk.img")) == 4096u);
}

BOOST_FIXTURE_TEST_CASE(a_size_that_changed_underneath_is_taken_over, ImageFixture) {
    const auto drive = open();
    std::filesystem::resize_file(path("disk.img"), 3 * image_size);
    BOOST_TEST(drive->properties().size == image_size);
    BOOST_TEST(resize(*drive, 3 * image_size) == "");
    BOOST_TEST(drive->properties().size == 3 * image_size);
}

BOOST_FIXTURE_TEST_CASE(sizes_that_can_not_be_are_refused_and_nothing_changes, ImageFixture) {
    const auto drive = open();
    BOOST_TEST(has(resize(*drive, 0), "0 bytes are no size"));
    BOOST_TEST(has(resize(*drive, 1000), "1000 bytes are no size of a disk with blocks of 512 bytes"));
    rlimit before{};
    BOOST_TEST_REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const rlimit limit{.rlim_cur = 4 * image_size, .rlim_max = before.rlim_max};
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    BOOST_TEST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    BOOST_TEST(resize(*drive, 8 * image_size) == "Could not resize file: File too large");
    BOOST_TEST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    std::signal(SIGXFSZ, handler);
    BOOST_TEST(has(resize(*drive, ~std::uint64_t{511}), "Could not resize file: "));
    BOOST_TEST(resize(*open(",ro", "other.img"), image_size) == "Image is read-only");
    BOOST_TEST(drive->properties().size == image_size);
    BOOST_TEST((contents(path("disk.img")) == image));
    BOOST_TEST(!write(*drive, 0, page));
}

BOOST_FIXTURE_TEST_CASE(a_snapshot_changes_its_size_and_the_image_keeps_its_own, ImageFixture) {
    const auto drive = open(",snapshot");
    BOOST_TEST(!write(*drive, 0, page));
    BOOST_TEST(!write(*drive, image_size - page.size(), page));
    BOOST_TEST(resize(*drive, 2 * image_size) == "");
    BOOST_TEST((read(*drive, image_size, image_size) == zeros(image_size)));
    BOOST_TEST(resize(*drive, 8192) == "");
    BOOST_TEST(resize(*drive, image_size) == "");
    auto expected = page;
    expected.insert(expected.end(), image.begin() + 4096, image.begin() + 8192);
    expected.resize(image_size);
    BOOST_TEST((read(*drive, 0, image_size) == expected));
    BOOST_TEST((contents(path("disk.img")) == image));
}

// Against bytes in memory: writes, zeros and sizes.
BOOST_FIXTURE_TEST_CASE(a_snapshot_whose_size_changes_at_random_is_what_it_should_be, ImageFixture) {
    const auto drive = open(",snapshot");
    Bytes model = image;
    unsigned state = 2026;
    const auto random = [&state](unsigned below) { return (state = state * 1664525 + 1013904223) / 65536 % below; };
    for (unsigned round = 0; round < 2000; ++round) {
        const auto sectors = static_cast<unsigned>(model.size() / 512);
        const auto first = random(sectors);
        const auto count = 1 + random(std::min(sectors - first, 40U));
        const auto at = model.begin() + 512 * first;
        switch (random(4)) {
            case 0: {
                const auto bytes = pattern(512 * count, round);
                BOOST_TEST_REQUIRE(!write(*drive, 512 * first, bytes));
                std::ranges::copy(bytes, at);
                break;
            }
            case 1:
                BOOST_TEST_REQUIRE(!await(drive->write_zeroes(512 * first, 512 * count, round % 2 == 0)));
                std::fill_n(at, 512 * count, std::byte{0});
                break;
            case 2:
                BOOST_TEST_REQUIRE((read(*drive, 512 * first, 512 * count) == Bytes(at, at + 512 * count)));
                break;
            default: {
                const auto size = 512 * (1 + random(400));
                BOOST_TEST_REQUIRE(resize(*drive, size) == "");
                model.resize(size);
                break;
            }
        }
    }
    BOOST_TEST((read(*drive, 0, model.size()) == model));
    BOOST_TEST((contents(path("disk.img")) == image));
}

BOOST_FIXTURE_TEST_CASE(another_image_takes_the_place_and_the_locks_go_with_it, ImageFixture) {
    const auto drive = open();
    BOOST_TEST(!write(*drive, 0, page));
    BOOST_TEST(change(*drive, path("other.img")) == "");
    BOOST_TEST(drive->spec().source == path("other.img"));
    BOOST_TEST(drive->properties().size == 2 * image_size);
    BOOST_TEST((read(*drive, 0, 2 * image_size) == other));
    BOOST_TEST(!write(*drive, 4096, page));
    BOOST_TEST(can_be_written_by_others(path("disk.img")));
    BOOST_TEST(!can_be_written_by_others(path("other.img")));
    auto expected = image;
    std::ranges::copy(page, expected.begin());
    BOOST_TEST((contents(path("disk.img")) == expected));
    BOOST_TEST(change(*drive, path("disk.img")) == "");
    BOOST_TEST((read(*drive, 0, image_size) == expected));
    BOOST_TEST(has(lines.back(), path("disk.img")), lines.back());
}

BOOST_FIXTURE_TEST_CASE(after_an_image_that_is_refused_the_old_one_goes_on, ImageFixture) {
    const auto drive = open();
    auto qcow2 = zeros(4096);
    const std::string_view magic = "QFI\xfb";
    std::ranges::copy(std::as_bytes(std::span(magic)), qcow2.begin());
    make_image(qcow2, "qcow2");
    make_image({}, "empty");
    make_image(zeros(1000), "odd");
    const auto used = open("", "other.img");
    BOOST_TEST(has(change(*drive, path("absent")), "No such file"));
    BOOST_TEST(has(change(*drive, "/tmp"), "Is a directory"));
    BOOST_TEST(has(change(*drive, path("qcow2")), "qcow2': It is a qcow2 image"));
    BOOST_TEST(has(change(*drive, path("empty")), "It is empty"));
    BOOST_TEST(has(change(*drive, path("odd")), "It has 1000 bytes"));
    BOOST_TEST(has(change(*drive, path("other.img")), "It is in use"));
    BOOST_TEST(has(change(*drive, path("disk.img")), "It is in use"));
    BOOST_TEST(has(change(*drive, path("absent"), true), "No such file"));
    BOOST_TEST(drive->properties().size == image_size);
    BOOST_TEST(drive->spec().source == path("disk.img"));
    BOOST_TEST(!write(*drive, 0, page));
    BOOST_TEST((read(*drive, 0, page.size()) == page));
    BOOST_TEST(!can_be_written_by_others(path("disk.img")));
}

BOOST_FIXTURE_TEST_CASE(what_the_guest_was_told_once_stays_so, ImageFixture) {
    const auto drive = open();
    auto spec = with_source(drive->spec(), path("other.img"));
    spec.read_only = true;
    BOOST_TEST(has(why_not(drive->change(spec, true)), "The guest was told that it can write"));
    make_image(image, "third.img");
    const auto reads = open(",ro", "third.img");
    spec.read_only = false;
    BOOST_TEST(has(why_not(reads->change(spec, true)), "The guest was told that this disk is read-only"));
    BOOST_TEST(change(*reads, path("other.img")) == "");
    BOOST_TEST(write(*reads, 0, page) == error_of(std::errc::read_only_file_system));
    disk->set_block_size(4096);
    const auto large_blocks = with_fake();
    make_image(zeros(4096 + 512), "odd.img");
    BOOST_TEST(has(change(*large_blocks, path("odd.img")), "the guest was told that blocks have 4096"));
    BOOST_TEST(change(*large_blocks, make_image(zeros(8192), "even.img")) == "");
    BOOST_TEST(large_blocks->properties().block_size == 4096u);
}

BOOST_FIXTURE_TEST_CASE(a_snapshot_of_another_image_begins_anew, ImageFixture) {
    const auto drive = open(",snapshot");
    BOOST_TEST(!write(*drive, 0, page));
    BOOST_TEST(change(*drive, path("other.img")) == "");
    BOOST_TEST((read(*drive, 0, 2 * image_size) == other));
    BOOST_TEST(!write(*drive, 0, page));
    BOOST_TEST(change(*drive, path("disk.img")) == "");
    BOOST_TEST((read(*drive, 0, image_size) == image));
    BOOST_TEST((contents(path("other.img")) == other));
}
