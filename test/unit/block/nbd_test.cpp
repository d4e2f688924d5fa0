// A disk on real NBD servers: nbdkit and qemu-nbd.
#define BOOST_TEST_MODULE block_nbd
#include <boost/test/unit_test.hpp>

#include "nbd_fixture.hpp"

#include <chrono>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

constexpr std::size_t disk_size = 4 << 20;

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_server_that_is_not_there_is_named, NbdFixture) {
    const auto message = why_not();
    BOOST_TEST(has(message, "--disk nbd+unix:///?socket="));
    BOOST_TEST((has(message, "No such file") || has(message, "without libnbd")));
}

BOOST_FIXTURE_TEST_CASE(a_disk_of_nbdkit_is_read_and_written, NbdFixture, *with_nbdkit()) {
    const auto image = make_image(pattern(disk_size, 1));
    Server server(nbdkit({"file", image}), socket);
    const auto disk = open();
    BOOST_TEST(disk->properties().size == disk_size);
    BOOST_TEST((read(*disk, 0, disk_size) == pattern(disk_size, 1)));
    auto expected = pattern(disk_size, 1);
    const auto bytes = pattern(20000, 2);
    const std::array<std::span<const std::byte>, 2> from{std::span(bytes).first(9), std::span(bytes).subspan(9, 16375)};
    BOOST_TEST(!await(disk->write(1536, from)));
    std::copy_n(bytes.begin(), 16384, expected.begin() + 1536);
    BOOST_TEST(!await(disk->write_zeroes(65536, 8192, true)));
    BOOST_TEST(!await(disk->write_zeroes(131072, 8192, false)));
    std::fill_n(expected.begin() + 65536, 8192, std::byte{0});
    std::fill_n(expected.begin() + 131072, 8192, std::byte{0});
    BOOST_TEST(!await(disk->discard(1 << 20, 1 << 20)));
    BOOST_TEST(!await(disk->flush()));
    std::fill_n(expected.begin() + (1 << 20), 1 << 20, std::byte{0});
    BOOST_TEST((contents(image) == expected));
    Bytes memory(2048);
    const std::array<std::span<std::byte>, 3> to{std::span(memory).first(1), std::span(memory).subspan(1, 0),
                                                 std::span(memory).subspan(1, 2047)};
    BOOST_TEST(!await(disk->read(1024, to)));
    BOOST_TEST((std::ranges::equal(memory, std::span(expected).subspan(1024, 2048))));
    BOOST_TEST((write(*disk, disk_size, bytes) == error_of(std::errc::invalid_argument)));
    BOOST_TEST((read(*disk, disk_size, std::span(memory)) == error_of(std::errc::invalid_argument)));
}

BOOST_FIXTURE_TEST_CASE(a_read_only_export_wants_a_word, NbdFixture, *with_nbdkit()) {
    const auto image = make_image(pattern(disk_size, 1));
    Server server(nbdkit({"-r", "file", image}), socket);
    BOOST_TEST(has(why_not(), "read-only (add ,ro"));
    const auto disk = open(",ro");
    BOOST_TEST((write(*disk, 0, pattern(512, 2)) == error_of(std::errc::read_only_file_system)));
    const auto snapshot = open(",snapshot");
    BOOST_TEST(!write(*snapshot, 0, pattern(512, 2)));
    BOOST_TEST((read(*snapshot, 0, 512) == pattern(512, 2)));
    BOOST_TEST((read(*disk, 0, 512) == pattern(512, 1)));
}

BOOST_FIXTURE_TEST_CASE(errors_of_the_server_are_the_requests, NbdFixture, *with_nbdkit()) {
    Server server(nbdkit({"--filter=error", "memory", "4M", "error-pwrite=ENOSPC", "error-pwrite-rate=100%",
                          "error-pread=EIO", "error-pread-rate=100%"}),
                  socket);
    const auto disk = open();
    Bytes memory(512);
    for (int i = 0; i < 3; ++i) {
        BOOST_TEST((write(*disk, 0, memory) == error_of(std::errc::no_space_on_device)));
        BOOST_TEST((read(*disk, 0, std::span(memory)) == error_of(std::errc::io_error)));
    }
    BOOST_TEST(lines.size() == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_lost_server_gives_errors_and_is_found_again, NbdFixture, *with_nbdkit()) {
    const auto image = make_image(pattern(disk_size, 1));
    Server first(nbdkit({"file", image}), socket);
    const auto disk = open();
    Bytes memory(512);
    BOOST_TEST(!read(*disk, 0, std::span(memory)));
    first.end();
    for (int i = 0; i < 3; ++i) BOOST_TEST((read(*disk, 0, std::span(memory)) == error_of(std::errc::io_error)));
    BOOST_TEST((write(*disk, 0, memory) == error_of(std::errc::io_error)));
    BOOST_REQUIRE(lines.size() == 1u);
    BOOST_TEST(has(lines[0], "the NBD server is lost: requests fail until it is back"));
    Server second(nbdkit({"file", image}), socket);
    pause_between_attempts();
    BOOST_TEST(!read(*disk, 512, std::span(memory)));
    const auto all = pattern(1024, 1);
    BOOST_TEST((std::ranges::equal(memory, std::span(all).subspan(512))));
    BOOST_REQUIRE(lines.size() == 2u);
    BOOST_TEST(has(lines[1], "is back"));
}

BOOST_FIXTURE_TEST_CASE(another_disk_in_a_lost_ones_place_is_not_used, NbdFixture, *with_nbdkit()) {
    Server first(nbdkit({"memory", "4M"}), socket);
    const auto disk = open();
    first.end();
    Bytes memory(512);
    BOOST_TEST((read(*disk, 0, std::span(memory)) == error_of(std::errc::io_error)));
    Server second(nbdkit({"memory", "2M"}), socket);
    pause_between_attempts();
    BOOST_TEST((read(*disk, 0, std::span(memory)) == error_of(std::errc::io_error)));
    BOOST_REQUIRE(lines.size() == 2u);
    BOOST_TEST(has(lines[1], "another disk"));
}

BOOST_FIXTURE_TEST_CASE(requests_that_a_server_never_answers_end_with_it, NbdFixture, *with_nbdkit()) {
    Server server(nbdkit({"--filter=delay", "memory", "4M", "delay-read=1000"}), socket);
    const auto disk = open();
    Bytes memory(512);
    const std::array to{std::span<std::byte>(memory)};
    std::vector<std::error_code> errors;
    for (int i = 0; i < 4; ++i) {
        asio::co_spawn(loop, disk->read(0, to),
                       [&errors](const std::exception_ptr&, std::error_code error) { errors.push_back(error); });
    }
    loop.poll();
    BOOST_TEST(errors.empty());
    server.end();
    const auto until = std::chrono::steady_clock::now() + safety;
    while (errors.size() < 4 && std::chrono::steady_clock::now() < until) loop.run_one_until(until);
    BOOST_REQUIRE(errors.size() == 4u);
    for (const auto& error : errors) BOOST_TEST((error == error_of(std::errc::io_error)));
    BOOST_TEST(lines.size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_qcow2_image_is_a_disk_of_qemu_nbd, NbdFixture, *with_qemu_nbd()) {
    const auto raw = make_image(pattern(disk_size, 1));
    const auto image = path("disk.qcow2");
    BOOST_REQUIRE(std::system(("qemu-img convert -O qcow2 " + raw + " " + image).c_str()) == 0);
    {
        Server server({"qemu-nbd", "-t", "-f", "qcow2", image}, socket);
        const auto disk = open();
        BOOST_TEST(disk->properties().size == disk_size);
        BOOST_TEST((read(*disk, 0, disk_size) == pattern(disk_size, 1)));
        BOOST_TEST(!write(*disk, 512, pattern(512, 2)));
        BOOST_TEST(!await(disk->flush()));
    }
    BOOST_REQUIRE(std::system(("qemu-img convert -O raw " + image + " " + raw).c_str()) == 0);
    auto expected = pattern(disk_size, 1);
    std::ranges::copy(pattern(512, 2), expected.begin() + 512);
    BOOST_TEST((contents(raw) == expected));
}
