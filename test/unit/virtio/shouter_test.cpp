// The virtio device that docs/devices/README.md shows.
#define BOOST_TEST_MODULE virtio_shouter
#include "shouter.hpp"

#include <boost/test/unit_test.hpp>

#include "mmio_driver.hpp"

using namespace asyncvm;
using namespace asyncvm::virtio;

BOOST_AUTO_TEST_CASE(a_text_comes_back_in_capital_letters) {
    MmioDriver driver(std::make_shared<Shouter>());
    driver.start();
    driver.ring().put_text(0x8000, "hello");
    driver.ring().offer(0, {{0x8000, 5}, {0x9000, 16, RingDriver::writes}});
    driver.notify(0);
    BOOST_TEST((driver.ring().take_used() == RingDriver::Used{0, 5}));
    BOOST_TEST(driver.ring().text_at(0x9000, 5) == "HELLO");
    BOOST_TEST(driver.interrupted());
}

BOOST_AUTO_TEST_CASE(a_request_without_a_text_is_the_driver_s_mistake) {
    MmioDriver driver(std::make_shared<Shouter>());
    driver.start();
    driver.ring().offer(0, {{0x9000, 16, RingDriver::writes}});
    driver.notify(0);
    BOOST_TEST(driver.read(MmioRegisters::status) == 0x4fu);
    BOOST_TEST_REQUIRE(driver.log.size() == 1u);
    BOOST_TEST(driver.log[0].find("virtio-shouter") != std::string::npos);
}
