// The balloon: what the driver gives back is gone, and nothing else.
#define BOOST_TEST_MODULE virtio_balloon
#include "mmio_driver.hpp"

using namespace asyncvm;
using namespace asyncvm::virtio;

namespace {

constexpr std::uint16_t for_device = RingDriver::writes;
constexpr std::uint64_t reporting = 1u << 5;
constexpr unsigned inflate = 0, deflate = 1;

struct Inflatable : MmioDriver {
    explicit Inflatable() : MmioDriver(make_balloon()) { start(feature_version_1 | reporting, 5); }

    void fill(std::uint64_t address, std::size_t size) {
        const std::vector<std::byte> bytes(size, std::byte{0x55});
        BOOST_REQUIRE(memory.write(address, bytes) == size);
    }
    [[nodiscard]] bool holds(std::byte value, std::uint64_t address, std::size_t size) const {
        std::vector<std::byte> bytes(size);
        BOOST_REQUIRE(memory.read(address, bytes) == size);
        return std::ranges::count(bytes, value) == static_cast<std::ptrdiff_t>(size);
    }
    [[nodiscard]] bool used(std::uint64_t address, std::size_t size) const { return holds(std::byte{0x55}, address, size); }
    [[nodiscard]] bool gone(std::uint64_t address, std::size_t size) const { return holds(std::byte{0}, address, size); }
};

}  // namespace

BOOST_AUTO_TEST_CASE(reported_pages_go_back_by_the_specification_s_queue_and_by_linux_s) {
    Inflatable driver;
    BOOST_TEST(driver.read(MmioDriver::R::device_id) == 5u);
    for (const unsigned queue : {2u, 4u}) {
        driver.fill(0x10000, 0x8000);
        driver.ring(queue).offer(0, {{0x11000, 0x2000, for_device}, {0x14000, 0x1000, for_device}});
        driver.notify(queue);
        BOOST_TEST((driver.ring(queue).take_used() == RingDriver::Used{0, 0}));
        BOOST_TEST(driver.used(0x10000, 0x1000));
        BOOST_TEST(driver.gone(0x11000, 0x2000));
        BOOST_TEST(driver.used(0x13000, 0x1000));
        BOOST_TEST(driver.gone(0x14000, 0x1000));
        BOOST_TEST(driver.used(0x15000, 0x3000));
    }
}

BOOST_AUTO_TEST_CASE(only_whole_pages_go_back) {
    Inflatable driver;
    driver.fill(0x10000, 0x8000);
    driver.ring(4).offer(0, {{0x10800, 0x1000, for_device}, {0x12001, 0x2fff, for_device}});
    driver.notify(4);
    BOOST_TEST((driver.ring(4).take_used() == RingDriver::Used{0, 0}));
    BOOST_TEST(driver.used(0x10000, 0x3000));
    BOOST_TEST(driver.gone(0x13000, 0x2000));
    BOOST_TEST(driver.used(0x15000, 0x3000));
}

BOOST_AUTO_TEST_CASE(an_inflated_balloon_takes_the_pages_of_its_list_and_a_deflated_one_none) {
    Inflatable driver;
    driver.fill(0x10000, 0x8000);
    // The second number is of no page of this guest; the last bytes are no number.
    for (const auto& [at, number] : {std::pair{0u, 0x12u}, {4u, 0xffffffffu}, {8u, 0x17u}, {12u, 0x10u}})
        driver.ring(inflate).put(0x20000 + at, number);
    driver.ring(inflate).offer(0, {{0x20000, 14}});
    driver.notify(inflate);
    BOOST_TEST((driver.ring(inflate).take_used() == RingDriver::Used{0, 0}));
    BOOST_TEST(driver.used(0x10000, 0x2000));
    BOOST_TEST(driver.gone(0x12000, 0x1000));
    BOOST_TEST(driver.used(0x13000, 0x4000));
    BOOST_TEST(driver.gone(0x17000, 0x1000));
    driver.ring(deflate).offer(0, {{0x2000c, 4}});
    driver.notify(deflate);
    BOOST_TEST((driver.ring(deflate).take_used() == RingDriver::Used{0, 0}));
    BOOST_TEST(driver.used(0x10000, 0x1000));
    BOOST_TEST(driver.log.empty());
}

BOOST_AUTO_TEST_CASE(a_long_list_is_taken_to_its_end) {
    Inflatable driver;
    driver.fill(0x10000, 0x8000);
    // 600 times the same page, then another one.
    for (std::uint32_t i = 0; i < 601; ++i) driver.ring(inflate).put(0x20000 + 4 * i, i < 600 ? 0x10u : 0x11u);
    driver.ring(inflate).offer(0, {{0x20000, 4 * 601}});
    driver.notify(inflate);
    BOOST_TEST((driver.ring(inflate).take_used() == RingDriver::Used{0, 0}));
    BOOST_TEST(driver.gone(0x10000, 0x2000));
    BOOST_TEST(driver.used(0x12000, 0x6000));
}

BOOST_AUTO_TEST_CASE(nobody_asks_for_pages_and_what_the_driver_says_of_them_is_saved_and_reset) {
    Inflatable driver;
    constexpr unsigned num_pages = MmioDriver::R::config, actual = num_pages + 4;
    BOOST_TEST(driver.read(num_pages) == 0u);
    driver.write(num_pages, 7);
    driver.write(actual, 0x12345);
    BOOST_TEST(driver.read(num_pages) == 0u);
    BOOST_TEST(driver.read(actual) == 0x12345u);
    Inflatable other;
    other.restore(driver.saved());
    BOOST_TEST(other.read(actual) == 0x12345u);
    driver.write(MmioDriver::R::status, 0);
    BOOST_TEST(driver.read(actual) == 0u);
}
