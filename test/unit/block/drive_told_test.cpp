// What waits for a change of a disk, and what devices, counters and error states tell of it.
#include "drive_fixture.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_FIXTURE_TEST_CASE(requests_of_each_kind_wait_for_a_change, DriveFixture) {
    const auto drive = with_fake();
    Bytes buffer(4096);
    const std::array<std::span<std::byte>, 1> to_buffer{std::span(buffer)};
    disk->hold();
    const auto stuck = begin_write(*drive, 0);
    const auto change = begin(drive->resize(2 * image_size));
    const auto late = {begin(drive->read(0, to_buffer)), begin_write(*drive, 4096), begin(drive->flush()),
                       begin(drive->discard(0, 512)), begin(drive->write_zeroes(512, 512, false))};
    BOOST_TEST(disk->calls.size() == 1u);
    disk->release();
    finish(change);
    for (const auto& request : late) finish(request);
    BOOST_TEST(stuck->ended);
    BOOST_TEST(disk->calls[1] == "resize 131072");
    std::ranges::sort(disk->calls);
    const std::vector<std::string> all{"discard 0 512", "flush", "read", "resize 131072", "write", "write", "zero 512 512"};
    BOOST_TEST(disk->calls == all, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(a_second_image_waits_for_the_first, DriveFixture) {
    make_image(Bytes(image_size), "new.img");
    const auto drive = with_fake();
    disk->hold();
    const auto stuck = begin_write(*drive, 0);
    const auto first = begin(drive->change(with_source(drive->spec(), path("new.img")), false));
    const auto second = begin(drive->change(with_source(drive->spec(), path("absent")), false));
    BOOST_TEST(!second->ended);
    disk->release();
    finish(first);
    finish(second);
    BOOST_TEST(first->refused == "");
    BOOST_TEST(has(second->refused, "No such file"));
}

BOOST_FIXTURE_TEST_CASE(only_what_has_been_written_moves_the_end_of_the_writes, DriveFixture) {
    const auto drive = with_fake();
    const auto& end = drive->counts().written_end;
    BOOST_TEST(!write(*drive, 8192, page));
    BOOST_TEST(end == 12288u);
    BOOST_TEST(!write(*drive, 0, page));
    BOOST_TEST(!await(drive->write_zeroes(0, 512, false)));
    BOOST_TEST(end == 12288u);
    disk->error = error_of(std::errc::io_error);
    BOOST_TEST(write(*drive, 16384, page) == disk->error);
    BOOST_TEST(await(drive->write_zeroes(32768, 512, false)) == disk->error);
    BOOST_TEST(end == 12288u);
}

BOOST_FIXTURE_TEST_CASE(a_failure_is_told_as_one_of_a_write_but_for_reads_and_a_wish_not_at_all, DriveFixture) {
    const auto drive = with_fake();
    std::vector<bool> told;
    drive->on_error([&told](bool writes, std::error_code) { told.push_back(writes); });
    disk->error = error_of(std::errc::operation_not_supported);
    BOOST_TEST(await(drive->discard(0, 512)) == disk->error);
    BOOST_TEST(told.empty());
    BOOST_TEST(drive->counts().discard.failed == 0u);
    disk->error = error_of(std::errc::io_error);
    BOOST_TEST(await(drive->flush()) == disk->error);
    BOOST_TEST(await(drive->discard(0, 512)) == disk->error);
    BOOST_TEST(await(drive->write_zeroes(0, 512, true)) == disk->error);
    BOOST_TEST((told == std::vector<bool>{true, true, true}));
}

BOOST_FIXTURE_TEST_CASE(the_device_hears_of_another_image_and_of_another_size_only, DriveFixture) {
    make_image(Bytes(image_size), "new.img");
    const auto drive = with_fake();
    disk->error = error_of(std::errc::io_error);
    BOOST_TEST(write(*drive, 0, page) == disk->error);
    disk->error = {};
    const auto seen = drive->changed()->generation();
    BOOST_TEST(resize(*drive, image_size) == "");
    BOOST_TEST(drive->changed()->generation() == seen);
    BOOST_TEST(drive->error());
    BOOST_TEST(change(*drive, path("new.img")) == "");
    BOOST_TEST(drive->changed()->generation() != seen);
    // The one that is there now is in order.
    BOOST_TEST(!drive->error());
    BOOST_TEST(has(std::string(drive->properties().description), path("new.img")), drive->properties().description);
}

BOOST_FIXTURE_TEST_CASE(who_owns_it_hears_what_has_changed_when_it_has, DriveFixture) {
    make_image(Bytes(2 * image_size), "new.img");
    const auto drive = with_fake();
    std::vector<std::string> told;
    drive->on_change([&](bool exchanged) {
        told.push_back(fmt::format("{} {} {}", exchanged, drive->properties().size, drive->spec().source == "fake"));
    });
    BOOST_TEST(resize(*drive, image_size) == "");
    BOOST_TEST(resize(*drive, 3) != "");
    BOOST_TEST(change(*drive, path("absent")) != "");
    BOOST_TEST(told.empty());
    BOOST_TEST(resize(*drive, 512) == "");
    BOOST_TEST(change(*drive, path("new.img")) == "");
    BOOST_TEST(told == (std::vector<std::string>{"false 512 true", "true 131072 false"}), boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(by_force_the_old_image_is_not_flushed_and_says_nothing_of_the_new_one, DriveFixture) {
    make_image(Bytes(image_size), "new.img");
    const auto drive = with_fake(20ms);
    disk->hold();
    const auto stuck = begin_write(*drive, 0);
    BOOST_TEST(change(*drive, path("new.img"), true) == "");
    BOOST_TEST((disk->calls == std::vector<std::string>{"write"}));
    rlimit before{};
    BOOST_TEST_REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const rlimit limit{.rlim_cur = 4096, .rlim_max = before.rlim_max};
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    BOOST_TEST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    const auto failed = write(*drive, 8192, page);
    BOOST_TEST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    std::signal(SIGXFSZ, handler);
    BOOST_TEST(failed == error_of(std::errc::file_too_large));
    disk->release();
    finish(stuck);
    BOOST_TEST(!stuck->error);
    BOOST_TEST(drive->error() == failed);
}
