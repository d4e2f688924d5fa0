// Changes of a disk that has requests under way.
#include "drive_fixture.hpp"

#include <sys/socket.h>
#include <sys/un.h>

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_FIXTURE_TEST_CASE(new_requests_wait_and_those_under_way_end_at_the_old_image, DriveFixture) {
    make_image(pattern(image_size, 2), "new.img");
    const auto drive = with_fake();
    disk->hold();
    const auto first = begin_write(*drive, 0);
    const auto change = begin(drive->change(with_source(drive->spec(), path("new.img")), false));
    const auto second = begin_write(*drive, 8192);
    BOOST_TEST(!change->ended);
    BOOST_TEST(disk->calls.size() == 1u);
    disk->release();
    finish(change);
    finish(second);
    BOOST_TEST(change->refused == "");
    BOOST_TEST(first->ended);
    BOOST_TEST((disk->calls == std::vector<std::string>{"write", "flush"}));
    BOOST_TEST(std::equal(page.begin(), page.end(), disk->bytes.begin()));
    const auto now = contents(path("new.img"));
    BOOST_TEST(std::equal(page.begin(), page.end(), now.begin() + 8192));
    BOOST_TEST(!std::equal(page.begin(), page.end(), now.begin()));
    BOOST_TEST(drive->counts().write.done == 2u);
    BOOST_TEST(disk.use_count() == 1);
}

BOOST_FIXTURE_TEST_CASE(sixty_four_requests_are_answered_once_each_whatever_changes, DriveFixture) {
    make_image(Bytes(image_size), "new.img");
    const auto drive = with_fake();
    std::vector<std::shared_ptr<Begun>> requests;
    disk->hold();
    for (unsigned i = 0; i < 32; ++i) requests.push_back(begin(drive->flush()));
    const auto change = begin(drive->change(with_source(drive->spec(), path("new.img")), false));
    for (unsigned i = 0; i < 32; ++i) requests.push_back(begin(drive->flush()));
    BOOST_TEST(disk->under_way == 32u);
    disk->release();
    finish(change);
    for (const auto& request : requests) finish(request);
    BOOST_TEST(disk->calls.size() == 33u);
    BOOST_TEST(drive->counts().flush.done == 64u);
}

BOOST_FIXTURE_TEST_CASE(a_request_that_does_not_end_in_time_keeps_the_old_image, DriveFixture) {
    make_image(Bytes(image_size), "new.img");
    const auto drive = with_fake(20ms);
    disk->hold();
    const auto stuck = begin_write(*drive, 0);
    BOOST_TEST(has(change(*drive, path("new.img")), "1 of its requests have not ended"));
    BOOST_TEST(has(resize(*drive, 2 * image_size), "1 of its requests have not ended"));
    BOOST_TEST(disk->calls.size() == 1u);
    const auto next = begin_write(*drive, 8192);
    BOOST_TEST(disk->under_way == 2u);
    disk->release();
    finish(next);
    BOOST_TEST(stuck->ended);
    BOOST_TEST(change(*drive, path("new.img")) == "");
}

BOOST_FIXTURE_TEST_CASE(by_force_what_does_not_end_stays_with_the_old_image, DriveFixture) {
    make_image(Bytes(image_size), "new.img");
    const auto drive = with_fake(20ms);
    disk->hold();
    const auto stuck = begin_write(*drive, 0);
    BOOST_TEST(change(*drive, path("new.img"), true) == "");
    BOOST_TEST(!write(*drive, 8192, page));
    // By force as well: a flush of a real file may take longer than the patience of this drive.
    BOOST_TEST(change(*drive, make_image(Bytes(image_size), "third.img"), true) == "");
    BOOST_TEST(!stuck->ended);
    disk->error = error_of(std::errc::io_error);
    disk->release();
    finish(stuck);
    BOOST_TEST(stuck->error == error_of(std::errc::io_error));
    BOOST_TEST(drive->counts().write.failed == 1u);
    // The image that is there now has not failed.
    BOOST_TEST(!drive->error());
}

BOOST_FIXTURE_TEST_CASE(an_image_that_can_not_be_flushed_is_left_by_force_only, DriveFixture) {
    make_image(Bytes(image_size), "new.img");
    const auto drive = with_fake(20ms);
    disk->flush_error = error_of(std::errc::no_space_on_device);
    BOOST_TEST(has(change(*drive, path("new.img")), "the old image fake could not be flushed: no space left"));
    disk->flush_error = {};
    disk->hold();
    BOOST_TEST(has(change(*drive, path("new.img")), "could not be flushed: connection timed out"));
    BOOST_TEST(disk->under_way == 1u);
    disk->release();
    poll();
    disk->flush_error = error_of(std::errc::io_error);
    BOOST_TEST(change(*drive, path("new.img"), true) == "");
}

BOOST_FIXTURE_TEST_CASE(changes_come_one_after_the_other, DriveFixture) {
    make_image(Bytes(image_size), "new.img");
    const auto drive = with_fake();
    disk->hold();
    const auto stuck = begin_write(*drive, 0);
    const auto first = begin(drive->resize(2 * image_size));
    const auto second = begin(drive->change(with_source(drive->spec(), path("new.img")), false));
    const auto third = begin(drive->resize(4096));
    disk->release();
    for (const auto& change : {first, second, third}) {
        finish(change);
        BOOST_TEST(change->refused == "");
    }
    BOOST_TEST(stuck->ended);
    BOOST_TEST(disk->bytes.size() == 2 * image_size);
    BOOST_TEST(drive->properties().size == 4096u);
    BOOST_TEST(std::filesystem::file_size(path("new.img")) == 4096u);
}

BOOST_FIXTURE_TEST_CASE(errors_of_the_host_are_counted_and_told_and_the_guests_are_not, DriveFixture) {
    const auto drive = with_fake();
    std::vector<std::string> told;
    drive->on_error([&told](bool writes, std::error_code error) {
        told.push_back((writes ? "write " : "read ") + std::to_string(error.value()));
    });
    Bytes buffer(4096);
    disk->error = error_of(std::errc::invalid_argument);
    BOOST_TEST(read(*drive, 0, std::span(buffer)) == disk->error);
    disk->error = error_of(std::errc::read_only_file_system);
    BOOST_TEST(write(*drive, 0, page) == disk->error);
    BOOST_TEST(told.empty());
    BOOST_TEST(!drive->error());
    disk->error = error_of(std::errc::io_error);
    BOOST_TEST(read(*drive, 0, std::span(buffer)) == disk->error);
    disk->error = error_of(std::errc::no_space_on_device);
    BOOST_TEST(write(*drive, 0, page) == disk->error);
    BOOST_TEST((told == std::vector<std::string>{"read " + std::to_string(EIO), "write " + std::to_string(ENOSPC)}));
    BOOST_TEST(drive->error() == error_of(std::errc::no_space_on_device));
    BOOST_TEST(drive->counts().write.failed == 1u);
    BOOST_TEST(drive->counts().write.done == 0u);
    disk->error = {};
    BOOST_TEST(!await(drive->flush()));
    BOOST_TEST(drive->error() == error_of(std::errc::no_space_on_device));
    BOOST_TEST(!write(*drive, 4096, page));
    BOOST_TEST(!drive->error());
    BOOST_TEST(!read(*drive, 4096, std::span(buffer)));
    BOOST_TEST(!await(drive->discard(0, 512)));
    BOOST_TEST(!await(drive->write_zeroes(16384, 512, false)));
    const auto& counts = drive->counts();
    BOOST_TEST(counts.read.done == 1u);
    BOOST_TEST(counts.read.bytes == 4096u);
    BOOST_TEST(counts.write.bytes == 4608u);
    BOOST_TEST(counts.discard.bytes == 512u);
    BOOST_TEST(counts.written_end == 16896u);
    BOOST_TEST(counts.write.time.count() > 0);
}

// A server that takes the connection and says nothing.
BOOST_FIXTURE_TEST_CASE(a_mute_server_does_not_hold_up_the_disk_that_is_there, DriveFixture) {
    const auto socket = path("mute.sock");
    const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    BOOST_REQUIRE(socket.copy(address.sun_path, sizeof address.sun_path - 1) == socket.size());
    BOOST_REQUIRE(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    BOOST_REQUIRE(::listen(listener, 1) == 0);
    {
        const auto drive = with_fake();
        const auto change = begin(drive->change(with_source(drive->spec(), "nbd:unix:" + socket), false));
        if (has(change->refused, "built without libnbd")) return;
        BOOST_TEST(!change->ended);
        BOOST_TEST(begin_write(*drive, 0)->ended);
        const auto absent = begin(drive->change(with_source(drive->spec(), "nbd:unix:" + path("absent")), false));
        ::close(listener);
        finish(change);
        BOOST_TEST(change->refused != "");
        finish(absent);
        BOOST_TEST(has(absent->refused, "No such file"), absent->refused);
        BOOST_TEST(begin_write(*drive, 0)->ended);
    }
}
