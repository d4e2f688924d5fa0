// What a back end is told of memory and rings, and where it goes on after another one.
#include <boost/test/unit_test.hpp>

#include <vector>

#include "../virtio/ring_driver.hpp"
#include "vhost/rings.hpp"

using namespace asyncvm;
using namespace asyncvm::vhost;

namespace {

struct RingsFixture {
    /// A request with this head was given back.
    void give_back(std::uint32_t head) {
        const auto index = driver.used_index();
        driver.put(driver.used() + 4 + 8 * (index % driver.size()), head);
        driver.put(driver.used() + 2, static_cast<std::uint16_t>(index + 1));
    }
    [[nodiscard]] std::optional<std::uint16_t> position(bool has_record = false) const {
        return position_after_death(memory, setup, has_record);
    }

    GuestMemory memory{0x40000, {.shared = true}};
    virtio::RingDriver driver{memory, 0x1000, 4};
    virtio::RingSetup setup{
        .queue = 0, .size = 4, .descriptors = driver.descriptors(), .available = driver.available(), .used = driver.used()};
};

}  // namespace

BOOST_AUTO_TEST_CASE(all_shared_memory_is_told_and_no_other) {
    GuestMemory memory(0x40000, {.shared = true});
    memory.boot_tables();
    const auto regions = shared_regions(memory);
    BOOST_REQUIRE(regions.size() == 2u);
    BOOST_TEST(regions[0].guest_address == 0u);
    BOOST_TEST(regions[0].size == 0x40000u);
    BOOST_TEST(regions[0].user_address == reinterpret_cast<std::uintptr_t>(memory.try_at(0, 1).data()));
    BOOST_TEST(regions[0].descriptor == memory.regions()[0].fd);
    BOOST_TEST(regions[1].guest_address == GuestMemory::boot_tables_base);
    BOOST_TEST(shared_regions(GuestMemory(0x40000)).empty());
}

BOOST_FIXTURE_TEST_CASE(a_ring_outside_of_memory_has_no_addresses, RingsFixture) {
    const auto addresses = addresses_of(memory, setup);
    BOOST_REQUIRE(addresses.has_value());
    BOOST_TEST(addresses->descriptors == reinterpret_cast<std::uintptr_t>(memory.try_at(driver.descriptors(), 1).data()));
    BOOST_TEST(addresses->available == reinterpret_cast<std::uintptr_t>(memory.try_at(driver.available(), 1).data()));
    BOOST_TEST(addresses->used == reinterpret_cast<std::uintptr_t>(memory.try_at(driver.used(), 1).data()));
    for (auto* const part : {&setup.descriptors, &setup.available, &setup.used}) {
        const auto before = std::exchange(*part, 0x40000 - 8);
        BOOST_TEST(!addresses_of(memory, setup).has_value());
        *part = before;
    }
}

BOOST_FIXTURE_TEST_CASE(a_ring_without_requests_under_way_goes_on_behind_the_last, RingsFixture) {
    BOOST_TEST(position().value() == 0);
    for (const std::uint16_t head : {2, 1, 3}) driver.offer(head);
    for (const std::uint16_t head : {3, 2, 1}) give_back(head);
    BOOST_TEST(position().value() == 3);
}

BOOST_FIXTURE_TEST_CASE(requests_under_way_are_done_again_if_they_were_given_back_in_order, RingsFixture) {
    for (const std::uint16_t head : {2, 1, 3}) driver.offer(head);
    give_back(2);
    BOOST_TEST(position().value() == 1);
    for (const std::uint16_t head : {2, 0}) {
        give_back(driver.get<std::uint16_t>(driver.available() + 4 + 2 * (driver.used_index() % 4)));
        driver.offer(head);
    }
    BOOST_TEST(position().value() == 3);
}

BOOST_FIXTURE_TEST_CASE(another_order_is_only_for_a_back_end_with_a_record, RingsFixture) {
    for (const std::uint16_t head : {2, 1, 3}) driver.offer(head);
    give_back(1);
    BOOST_TEST(!position().has_value());
    BOOST_TEST(position(true).value() == 1);
}

BOOST_FIXTURE_TEST_CASE(positions_wrap, RingsFixture) {
    driver.set_available_index(0xfffe);
    driver.put(driver.used() + 2, std::uint16_t{0xfffe});
    for (unsigned i = 0; i < 4; ++i) {
        driver.put(driver.available() + 4 + 2 * i, std::uint16_t{1});
        driver.put(driver.used() + 4 + 8 * i, std::uint32_t{1});
    }
    for (const std::uint16_t head : {1, 1, 2}) driver.offer(head);
    BOOST_TEST(position().value() == 0xfffe);
    give_back(1);
    give_back(1);
    BOOST_TEST(position().value() == 0);
}

BOOST_FIXTURE_TEST_CASE(rings_that_make_no_sense_have_no_position, RingsFixture) {
    driver.set_available_index(5);
    BOOST_TEST(!position().has_value());
    setup.used = 0x40000 - 2;
    BOOST_TEST(!position(true).has_value());
}
