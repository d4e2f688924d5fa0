// A virtio disk whose size changes while a driver uses it, at both transports.
#include <boost/test/unit_test.hpp>

#include "blk_fixture.hpp"
#include "pci_driver.hpp"

using namespace asyncvm;
using namespace asyncvm::virtio;

using R = MmioRegisters;

namespace {

constexpr std::uint64_t grown = std::uint64_t{5} << 40;  // sectors above 32 bits

struct ResizeFixture : BlkFixture {
    [[nodiscard]] std::uint64_t capacity() {
        return std::uint64_t{config<std::uint32_t>(4)} << 32 | config<std::uint32_t>(0);
    }
    void become(std::uint64_t size) {
        disk->become(size);
        poll();
    }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_driver_is_told_of_another_size_and_finds_it, ResizeFixture) {
    start(usual);
    const auto generation = read(R::config_generation);
    become(grown);
    BOOST_TEST(interrupted());
    BOOST_TEST(acknowledge() == DeviceState::config_change);
    BOOST_TEST(read(R::config_generation) != generation);
    BOOST_TEST(capacity() == grown / 512);
    // Another image of the same size.
    become(grown);
    BOOST_TEST(interrupted());
}

BOOST_FIXTURE_TEST_CASE(requests_go_as_far_as_the_disk_does_now, ResizeFixture) {
    start(usual | feature_discard);
    disk->bytes.resize(128 << 10);
    become(128 << 10);
    BOOST_TEST(answer(Kind::write, 255, 512) == ok);
    BOOST_TEST(answer(Kind::discard, {{248, 8, 0}}) == ok);
    become(32 << 10);
    disk->calls.clear();
    BOOST_TEST(answer(Kind::write, 255, 512) == io_error);
    BOOST_TEST(answer(Kind::read, 64, 512) == io_error);
    BOOST_TEST(answer(Kind::discard, {{64, 1, 0}}) == io_error);
    BOOST_TEST(disk->calls.empty());
    BOOST_TEST(answer(Kind::read, 63, 512) == ok);
}

// The driver reads the halves between two readings of the generation: it must not see the one of before and the other of
// after without a change of it. A write to the cache mode, which is no such change, tells nothing.
BOOST_FIXTURE_TEST_CASE(a_size_is_told_with_a_new_generation_only, ResizeFixture) {
    start(usual | feature_wce);
    const auto before = capacity();
    const auto generation = read(R::config_generation);
    surroundings.gate->close();
    become(grown);
    write(R::config + 0x20, 0, 1);
    BOOST_TEST(config<std::uint8_t>(0x20) == 0u);
    BOOST_TEST(capacity() == before);
    BOOST_TEST(read(R::config_generation) == generation);
    BOOST_TEST(!interrupted());
    surroundings.gate->open();
    poll();
    BOOST_TEST(interrupted());
    BOOST_TEST(read(R::config_generation) != generation);
    BOOST_TEST(capacity() == grown / 512);
}

BOOST_FIXTURE_TEST_CASE(a_driver_that_begins_anew_finds_the_size_of_then, ResizeFixture) {
    start(usual);
    surroundings.gate->close();
    become(grown);
    write(R::status, 0);
    BOOST_TEST(capacity() == grown / 512);
    surroundings.gate->open();
    poll();
    start(usual);
    BOOST_TEST(!interrupted());
    BOOST_TEST(capacity() == grown / 512);
}

BOOST_FIXTURE_TEST_CASE(a_driver_that_is_not_ready_is_not_interrupted, ResizeFixture) {
    BOOST_REQUIRE(negotiate(usual));
    const auto generation = read(R::config_generation);
    become(grown);
    BOOST_TEST(!interrupted());
    BOOST_TEST(read(R::config_generation) != generation);
    BOOST_TEST(capacity() == grown / 512);
}

BOOST_FIXTURE_TEST_CASE(a_machine_that_is_restored_with_a_disk_of_another_size_hears_of_it, ResizeFixture) {
    start(usual);
    const auto state = saved();
    ResizeFixture other;
    other.disk->become(grown);
    other.poll();
    std::vector<std::byte> all(ram);
    memory.read(0, all);
    other.memory.write(0, all);
    other.restore(state);
    BOOST_TEST(other.interrupted());
    BOOST_TEST(other.acknowledge() == DeviceState::config_change);
    BOOST_TEST(other.capacity() == grown / 512);
    ResizeFixture same;
    same.memory.write(0, all);
    same.restore(state);
    BOOST_TEST(!same.interrupted());
}

BOOST_AUTO_TEST_CASE(on_the_pci_bus_it_is_the_message_of_the_configuration) {
    const auto disk = std::make_shared<FakeDisk>();
    PciDriver driver(make_blk(disk, "", 1));
    driver.set_config(4, 2, 6);  // memory, bus master
    driver.start(usual);
    const auto generation = driver.common(PciRegisters::config_generation, 1);
    BOOST_TEST(driver.messages().empty());
    disk->become(grown);
    driver.poll();
    BOOST_TEST(driver.common(PciRegisters::config_generation, 1) != generation);
    BOOST_TEST((driver.messages() == std::vector<std::uint32_t>{0x40}));
    BOOST_TEST(driver.read(driver.at_config, 4) == static_cast<std::uint32_t>(grown / 512));
    BOOST_TEST(driver.read(driver.at_config + 4, 4) == static_cast<std::uint32_t>(grown / 512 >> 32));
}
