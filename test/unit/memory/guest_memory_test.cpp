#define BOOST_TEST_MODULE memory
#include <asyncvm/error.hpp>
#include <asyncvm/guest_memory.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <random>

using namespace asyncvm;

namespace {

constexpr std::uint64_t mib = 1 << 20;
constexpr std::uint64_t gib = 1 << 30;

std::array<std::byte, 4> four(int a, int b, int c, int d) {
    return {static_cast<std::byte>(a), static_cast<std::byte>(b), static_cast<std::byte>(c), static_cast<std::byte>(d)};
}

}  // namespace

BOOST_AUTO_TEST_CASE(memory_starts_as_zeros) {
    const GuestMemory memory(mib);
    BOOST_TEST(memory.ram_size() == mib);
    const auto all = memory.try_at(0, mib);
    BOOST_TEST(all.size() == mib);
    BOOST_TEST((std::to_integer<int>(all.front()) == 0 && std::to_integer<int>(all.back()) == 0));
}

BOOST_AUTO_TEST_CASE(what_is_written_is_read_back) {
    GuestMemory memory(mib);
    const auto data = four(1, 2, 3, 4);
    BOOST_TEST(memory.write(0x1234, data) == 4u);
    std::array<std::byte, 4> back{};
    BOOST_TEST(memory.read(0x1234, back) == 4u);
    BOOST_TEST((back == data));
    BOOST_TEST(memory.try_at(0x1234, 4).data() == memory.try_at(0, mib).data() + 0x1234);
}

BOOST_AUTO_TEST_CASE(an_access_across_the_end_is_cut) {
    GuestMemory memory(mib);
    const auto data = four(1, 2, 3, 4);
    BOOST_TEST(memory.write(mib - 3, data) == 3u);
    std::array<std::byte, 4> back{};
    BOOST_TEST(memory.read(mib - 3, back) == 3u);
    BOOST_TEST((back == four(1, 2, 3, 0)));
    BOOST_TEST(memory.read(mib, back) == 0u);
}

BOOST_AUTO_TEST_CASE(a_view_across_the_end_is_refused) {
    const GuestMemory memory(mib);
    BOOST_TEST(memory.try_at(mib - 4, 4).size() == 4u);
    BOOST_TEST(memory.try_at(mib - 3, 4).empty());
    BOOST_TEST(memory.try_at(mib, 1).empty());
    BOOST_TEST(memory.try_at(0, mib + 1).empty());
}

BOOST_AUTO_TEST_CASE(addresses_that_wrap_around_are_refused) {
    GuestMemory memory(mib);
    constexpr std::uint64_t top = ~std::uint64_t{0};
    std::array<std::byte, 4> bytes{};
    BOOST_TEST(memory.try_at(top, 4).empty());
    BOOST_TEST(memory.try_at(4, top).empty());
    BOOST_TEST(memory.read(top - 1, bytes) == 0u);
    BOOST_TEST(memory.write(top - 1, bytes) == 0u);
}

BOOST_AUTO_TEST_CASE(more_than_three_gib_goes_on_above_four) {
    GuestMemory memory(3 * gib + mib);
    BOOST_TEST(memory.regions().size() == 2u);
    BOOST_TEST(memory.try_at(3 * gib - 1, 1).size() == 1u);
    BOOST_TEST(memory.try_at(3 * gib, 1).empty());
    BOOST_TEST(memory.try_at(4 * gib, mib).size() == mib);
    BOOST_TEST(memory.try_at(4 * gib + mib, 1).empty());
    // The two ends of the RAM are not neighbours for a guest.
    const auto data = four(1, 2, 3, 4);
    BOOST_TEST(memory.write(3 * gib - 2, data) == 2u);
    std::array<std::byte, 4> back{};
    BOOST_TEST(memory.read(4 * gib, back) == 4u);
    BOOST_TEST((back == four(0, 0, 0, 0)));
}

BOOST_AUTO_TEST_CASE(boot_tables_are_one_region_outside_the_ram) {
    GuestMemory memory(3 * gib + mib);
    const auto tables = memory.boot_tables();
    BOOST_TEST(tables.size() == GuestMemory::boot_tables_size);
    BOOST_TEST(memory.boot_tables().data() == tables.data());
    BOOST_TEST(memory.regions().size() == 3u);
    std::uint64_t end = 0;
    for (const auto& region : memory.regions()) {
        BOOST_TEST(region.address >= end);
        end = region.address + region.bytes.size();
    }
    BOOST_TEST(memory.try_at(GuestMemory::boot_tables_base, GuestMemory::boot_tables_size).data() == tables.data());
    BOOST_TEST(memory.ram_size() == 3 * gib + mib);
}

BOOST_AUTO_TEST_CASE(memory_that_cannot_be_reserved_is_an_error_of_the_host) {
    BOOST_CHECK_EXCEPTION(GuestMemory(std::uint64_t{1} << 62), Error, [](const Error& error) {
        return error.kind() == ErrorKind::host && std::string(error.what()).find("--memory") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(no_address_leads_out_of_the_memory) {
    GuestMemory memory(3 * gib + mib);
    memory.boot_tables();
    std::mt19937_64 random(1);
    std::array<std::byte, 64> bytes{};
    for (int i = 0; i < 20000; ++i) {
        const std::uint64_t address = random() >> (random() % 64);
        const std::uint64_t size = random() % 65;
        const auto view = memory.try_at(address, size);
        if (!view.empty()) BOOST_REQUIRE(view.size() == size);
        BOOST_REQUIRE(memory.read(address, std::span(bytes).first(size)) <= size);
        BOOST_REQUIRE((view.empty() || memory.read(address, std::span(bytes).first(size)) == size));
    }
}
