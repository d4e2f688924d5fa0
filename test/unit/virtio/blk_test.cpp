// The block device at its transport, with a disk that does what the test says.
#include <boost/test/unit_test.hpp>

#include "blk_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::virtio;

using R = MmioRegisters;

BOOST_FIXTURE_TEST_CASE(a_driver_finds_the_disk_in_the_configuration_space, BlkFixture) {
    disk->set_block_size(4096);
    BlkFixture big(disk);
    BOOST_TEST(read(R::device_id) == 2u);
    BOOST_TEST(config<std::uint32_t>(0) == 128u);
    BOOST_TEST(config<std::uint32_t>(4) == 0u);
    BOOST_TEST(config<std::uint32_t>(0x0c) == 254u);
    BOOST_TEST(config<std::uint32_t>(0x14) == 512u);
    BOOST_TEST(config<std::uint8_t>(0x18) == 3u);
    BOOST_TEST(config<std::uint8_t>(0x20) == 1u);
    BOOST_TEST(config<std::uint32_t>(0x24) == 1u << 22);
    BOOST_TEST(config<std::uint32_t>(0x28) != 0u);
    BOOST_TEST(config<std::uint32_t>(0x2c) == 8u);
    BOOST_TEST(config<std::uint32_t>(0x30) == 1u << 22);
    BOOST_TEST(config<std::uint8_t>(0x38) == 1u);
    BOOST_TEST(big.config<std::uint32_t>(0x14) == 4096u);
    BOOST_TEST(big.config<std::uint8_t>(0x18) == 0u);
    BOOST_TEST((offered() & (feature_flush | feature_wce | feature_discard | feature_zeroes | feature_mq)) ==
               (feature_flush | feature_wce | feature_discard | feature_zeroes));
}

BOOST_FIXTURE_TEST_CASE(sectors_are_read_and_written, BlkFixture) {
    start(usual);
    BOOST_TEST(answer(Kind::read, 3, 1024) == ok);
    BOOST_TEST((data(1024) == on_disk(1536, 1024)));
    BOOST_TEST(answer(Kind::write, 100, 1024) == ok);
    BOOST_TEST((on_disk(51200, 1024) == data(1024)));
    BOOST_TEST((disk->calls == std::vector<std::string>{"read", "write"}));
    BOOST_TEST(log.empty());
}

BOOST_FIXTURE_TEST_CASE(the_buffers_may_be_cut_anywhere, BlkFixture) {
    start(usual);
    put_header(0, 0, 5);
    // Header in two pieces; data in two, the second of which has the status as its last byte.
    ring().offer(0, {{header_at, 7}, {header_at + 7, 9}, {data_at, 500, for_device}, {data_at + 500, 13, for_device}});
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 513}));
    BOOST_TEST((data(512) == on_disk(2560, 512)));
    BOOST_TEST(ring().get<std::uint8_t>(data_at + 512) == ok);
    // Header and data in one.
    ring().put(data_at, std::uint32_t{1});
    ring().put(data_at + 8, std::uint64_t{7});
    ring().offer(0, {{data_at, 528}, {status_at, 1, for_device}});
    notify(0);
    BOOST_TEST(status() == ok);
    const auto written = data(528);
    BOOST_TEST((on_disk(3584, 512) == std::vector(written.begin() + 16, written.end())));
}

BOOST_FIXTURE_TEST_CASE(what_is_not_on_the_disk_is_an_error_and_reaches_nobody, BlkFixture) {
    start(usual);
    for (const Kind kind : {Kind::read, Kind::write}) {
        BOOST_TEST(answer(kind, 128, 512) == io_error);
        BOOST_TEST(answer(kind, 127, 1024) == io_error);
        BOOST_TEST(answer(kind, ~std::uint64_t{0}, 1024) == io_error);
        BOOST_TEST(answer(kind, std::uint64_t{1} << 55, 512) == io_error);
        BOOST_TEST(answer(kind, 0, 511) == io_error);
        BOOST_TEST(answer(kind, 0, 513) == io_error);
    }
    BOOST_TEST(disk->calls.empty());
    BOOST_TEST(answer(Kind::read, 127, 512) == ok);
}

BOOST_FIXTURE_TEST_CASE(errors_of_the_disk_are_the_requests, BlkFixture) {
    start(usual | feature_discard | feature_zeroes);
    disk->error = std::make_error_code(std::errc::io_error);
    BOOST_TEST(answer(Kind::read, 0, 512) == io_error);
    BOOST_TEST(answer(Kind::write, 0, 512) == io_error);
    BOOST_TEST(answer(Kind::flush, 0, 0) == io_error);
    BOOST_TEST(answer(Kind::discard, {{0, 8, 0}}) == io_error);
    BOOST_TEST(answer(Kind::write_zeroes, {{0, 8, 0}}) == io_error);
    disk->error = {};
    BOOST_TEST(answer(Kind::read, 0, 512) == ok);
    BOOST_TEST(read(R::status) == 0xfu);
}

BOOST_FIXTURE_TEST_CASE(what_is_unknown_is_unsupported, BlkFixture) {
    start(usual);
    for (const std::uint32_t kind : {2u, 3u, 9u, 10u, 14u, 0xffff'ffffu}) {
        BOOST_TEST(answer(static_cast<Kind>(kind), 0, 512) == unsupported);
    }
    BOOST_TEST(answer(Kind::discard, {{0, 8, 0}}) == unsupported);  // not negotiated
    BOOST_TEST(disk->calls.empty());
}

BOOST_FIXTURE_TEST_CASE(the_id_is_the_serial_number_with_zeros_behind_it, BlkFixture) {
    start(usual);
    memory.write(data_at, std::as_bytes(std::span("xxxxxxxxxxxxxxxxxxxxxxxxx")));
    BOOST_TEST(answer(Kind::get_id, 0, 20) == ok);
    BOOST_TEST(ring().text_at(data_at, 21) == std::string("root-1") + std::string(14, '\0') + "x");
    BOOST_TEST(answer(Kind::get_id, 0, 4) == ok);
}

BOOST_FIXTURE_TEST_CASE(ranges_are_discarded_and_zeroed_or_refused_as_a_whole, BlkFixture) {
    start(usual | feature_discard | feature_zeroes);
    BOOST_TEST(answer(Kind::discard, {{0, 8, 0}, {64, 64, 0}}) == ok);
    BOOST_TEST(answer(Kind::write_zeroes, {{8, 1, 0}, {9, 1, 1}}) == ok);
    BOOST_TEST((disk->calls ==
                std::vector<std::string>{"discard 0 4096", "discard 32768 32768", "zero 4096 512", "zero 4608 512 unmap"}));
    disk->calls.clear();
    BOOST_TEST(answer(Kind::discard, {{0, 8, 1}}) == unsupported);
    BOOST_TEST(answer(Kind::write_zeroes, {{0, 8, 2}}) == unsupported);
    BOOST_TEST(answer(Kind::discard, {{0, 8, 0}, {128, 1, 0}}) == io_error);
    BOOST_TEST(answer(Kind::discard, {{~std::uint64_t{0}, 2, 0}}) == io_error);
    BOOST_TEST(answer(Kind::write_zeroes, {{0, ~std::uint32_t{0}, 0}}) == io_error);
    BOOST_TEST(answer(Kind::discard, 0, 17) == io_error);
    BOOST_TEST(answer(Kind::discard, 0, 0) == io_error);
    BOOST_TEST(answer(Kind::discard, std::vector<Range>(33, {0, 1, 0})) == io_error);
    BOOST_TEST(disk->calls.empty());
}

BOOST_FIXTURE_TEST_CASE(a_range_is_no_larger_than_the_device_says, BlkFixture) {
    disk->set_size(std::uint64_t{8} << 30);
    BlkFixture big(disk);
    big.start(usual | feature_discard);
    const auto most = big.config<std::uint32_t>(0x24);
    BOOST_TEST(big.answer(Kind::discard, {{0, most, 0}}) == ok);
    BOOST_TEST(big.answer(Kind::discard, {{0, most + 1, 0}}) == io_error);
    BOOST_TEST(disk->calls.size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_read_only_disk_says_so_and_takes_no_write, ReadOnly) {
    BOOST_TEST((offered() & (feature_read_only | feature_discard | feature_zeroes | feature_wce)) == feature_read_only);
    start(usual | feature_read_only);
    disk->error = std::make_error_code(std::errc::read_only_file_system);
    BOOST_TEST(answer(Kind::write, 0, 512) == io_error);
    BOOST_TEST(answer(Kind::discard, {{0, 8, 0}}) == io_error);
}

BOOST_FIXTURE_TEST_CASE(without_flushes_each_write_is_stable_when_it_is_answered, BlkFixture) {
    start(feature_version_1);
    BOOST_TEST(answer(Kind::write, 0, 512) == ok);
    BOOST_TEST((disk->calls == std::vector<std::string>{"write", "flush"}));
    disk->flush_error = std::make_error_code(std::errc::io_error);
    BOOST_TEST(answer(Kind::write, 0, 512) == io_error);
}

BOOST_FIXTURE_TEST_CASE(the_driver_turns_the_write_cache_off_and_on, BlkFixture) {
    start(usual | feature_wce);
    write(R::config + 0x20, 0, 1);
    BOOST_TEST(config<std::uint8_t>(0x20) == 0u);
    BOOST_TEST(answer(Kind::write, 0, 512) == ok);
    BOOST_TEST((disk->calls == std::vector<std::string>{"write", "flush"}));
    const auto state = saved();
    write(R::config + 0x20, 1, 1);
    BOOST_TEST(answer(Kind::write, 0, 512) == ok);
    BOOST_TEST(disk->calls.back() == "write");
    restore(state);
    BOOST_TEST(config<std::uint8_t>(0x20) == 0u);
    write(R::status, 0);
    BOOST_TEST(config<std::uint8_t>(0x20) == 1u);
    start(usual);
    write(R::config + 0x20, 0, 1);  // not negotiated
    BOOST_TEST(config<std::uint8_t>(0x20) == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_request_without_header_or_status_is_the_drivers_mistake, BlkFixture) {
    start(usual);
    ring().offer(0, {{header_at, 16}});
    notify(0);
    BOOST_TEST((read(R::status) & DeviceState::needs_reset_bit) != 0u);
    BOOST_REQUIRE(log.size() == 1u);
    BOOST_TEST(log[0].find("without a header or without a status byte") != std::string::npos);
    start(usual);
    ring().offer(0, {{header_at, 15}, {status_at, 1, for_device}});
    notify(0);
    BOOST_TEST((read(R::status) & DeviceState::needs_reset_bit) != 0u);
    start(usual);
    BOOST_TEST(answer(Kind::read, 0, 512) == ok);
}

BOOST_FIXTURE_TEST_CASE(each_queue_has_requests_of_its_own, FourQueues) {
    BOOST_TEST((offered() & feature_mq) != 0u);
    BOOST_TEST(config<std::uint16_t>(0x22) == 4u);
    start(usual | feature_mq, 4);
    for (std::uint16_t queue = 0; queue < 4; ++queue) {
        put_header(queue, 0, queue);
        ring(queue).offer(
            0,
            {{header_at + 16 * queue, 16}, {data_at + 0x1000 * queue, 512, for_device}, {status_at + queue, 1, for_device}});
        notify(queue);
        BOOST_TEST(status(queue) == ok);
        BOOST_TEST((data(512, queue) == on_disk(512 * queue, 512)));
    }
}
