// Rings that another process serves, at the PCI transport: whose interrupts the interrupt controller gets directly.
#include <boost/test/unit_test.hpp>

#include <sys/eventfd.h>

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "os/unique_fd.hpp"
#include "pci_driver.hpp"

using namespace asyncvm;
using namespace asyncvm::virtio;

namespace {

/// Three rings, of which the last has no line (PciDriver gives two).
class Elsewhere final : public virtio::Device {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "elsewhere"; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return 42; }
    [[nodiscard]] std::vector<QueueShape> queues() const override { return std::vector(3, QueueShape{.size = 8}); }
    [[nodiscard]] awaitable<void> serve(Queue&) override { co_return; }
    [[nodiscard]] bool hands_rings_over() const noexcept override { return true; }
    [[nodiscard]] int call(unsigned queue) const noexcept override { return calls[queue].get(); }
    /// As a device that has heard the ring's eventfd itself.
    void heard(unsigned queue) { interrupt(queue); }

    std::vector<UniqueFd> calls = [] {
        std::vector<UniqueFd> made;
        for (int i = 0; i < 3; ++i) made.emplace_back(::eventfd(0, EFD_CLOEXEC));
        return made;
    }();
};

struct DirectFixture : PciDriver {
    explicit DirectFixture(std::shared_ptr<Elsewhere> of = std::make_shared<Elsewhere>())
        : PciDriver(of), device(std::move(of)) {}
    using Connected = std::map<unsigned, int>;
    using Routes = std::vector<std::pair<unsigned, std::uint32_t>>;
    [[nodiscard]] int call(unsigned queue) const { return device->call(queue); }
    [[nodiscard]] Routes routes() { return std::exchange(controller.routes, {}); }

    std::shared_ptr<Elsewhere> device;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_rings_of_others_interrupt_by_lines_of_their_own, DirectFixture) {
    start(feature_version_1, 3);
    BOOST_TEST((controller.connected == Connected{{100, call(0)}, {101, call(1)}}));
    BOOST_TEST((routes() == Routes{{100, 0x41}, {101, 0x42}}));
    // What they have no line for goes through the device.
    device->heard(2);
    BOOST_TEST(messages() == std::vector<std::uint32_t>{0x43}, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(a_masked_vector_s_ring_is_heard_by_the_device_and_is_pending, DirectFixture) {
    start(feature_version_1, 2);
    static_cast<void>(routes());
    write(R::msix_table + 16 + 12, 4, 1);
    BOOST_TEST((controller.connected == Connected{{101, call(1)}}));
    device->heard(0);
    BOOST_TEST(messages().empty());
    BOOST_TEST(read(R::msix_pending, 4) == 2u);
    // Another message, as a kernel gives it that moves the interrupt to another processor.
    write(R::msix_table + 16 + 8, 4, 0x51);
    BOOST_TEST(routes().empty());
    write(R::msix_table + 16 + 12, 4, 0);
    BOOST_TEST(messages() == std::vector<std::uint32_t>{0x51}, boost::test_tools::per_element());
    BOOST_TEST((controller.connected == Connected{{100, call(0)}, {101, call(1)}}));
    BOOST_TEST((routes() == Routes{{100, 0x51}}));
    // All of them; their lines are routed already.
    set_config(at_msix + 2, 2, 0xc000);
    BOOST_TEST(controller.connected.empty());
    set_config(at_msix + 2, 2, 0x8000);
    BOOST_TEST((controller.connected == Connected{{100, call(0)}, {101, call(1)}}));
    BOOST_TEST(routes().empty());
    // While it is connected.
    write(R::msix_table + 32 + 8, 4, 0x52);
    BOOST_TEST((routes() == Routes{{101, 0x52}}));
}

BOOST_FIXTURE_TEST_CASE(the_rings_of_what_is_no_bus_master_are_not_connected, DirectFixture) {
    set_config(0x04, 2, 2);
    start(feature_version_1, 2);
    BOOST_TEST(controller.connected.empty());
    set_config(0x04, 2, 6);
    BOOST_TEST((controller.connected == Connected{{100, call(0)}, {101, call(1)}}));
}

BOOST_FIXTURE_TEST_CASE(a_ring_without_a_vector_is_not_connected, DirectFixture) {
    start(feature_version_1, 2, false);
    BOOST_TEST(controller.connected.empty());
    device->heard(0);
    BOOST_TEST(interrupted());
    // The ISR register says who it was: nobody but the device can set it.
    BOOST_TEST(read(at_isr, 1) == 1u);
}

BOOST_FIXTURE_TEST_CASE(every_reset_disconnects_the_rings, DirectFixture) {
    start(feature_version_1, 2);
    set_common(R::status, 1, 0);
    BOOST_TEST(controller.connected.empty());
    start(feature_version_1 | feature_ring_reset, 2);
    BOOST_TEST(controller.connected.size() == 2u);
    set_common(R::queue_select, 2, 0);
    set_common(R::queue_reset, 2, 1);
    BOOST_TEST((controller.connected == Connected{{101, call(1)}}));
    run(function->before_reset());
    function->reset();
    BOOST_TEST(controller.connected.empty());
}

BOOST_FIXTURE_TEST_CASE(where_the_controller_refuses_the_device_hears_all_and_the_log_says_so_once, DirectFixture) {
    controller.refuses = true;
    start(feature_version_1, 2);
    BOOST_TEST(controller.connected.empty());
    device->heard(1);
    BOOST_TEST(messages() == std::vector<std::uint32_t>{0x42}, boost::test_tools::per_element());
    BOOST_REQUIRE(log.size() == 1u);
    BOOST_TEST(log[0] ==
               "device elsewhere: its interrupts go through this program's device loop: KVM refuses routes of interrupts "
               "(KVM_SET_GSI_ROUTING)");
}
