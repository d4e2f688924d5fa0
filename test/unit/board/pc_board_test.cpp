// The description of a machine, and what follows from it: tables and devices.
#include "board/pc_board.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/open_chardev.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <set>

#include "board/pc_layout.hpp"
#include "bus/io_bus.hpp"
#include "devices/catalogue.hpp"
#include "table_reader.hpp"

using namespace asyncvm;
using namespace asyncvm::board;
using namespace asyncvm::test;

namespace {

/// Buses with the devices of a pc machine.
struct Board {
    explicit Board(const PcDescription& description) { add_pc_devices(host, description); }

    [[nodiscard]] std::set<std::string> names() const {
        std::set<std::string> all;
        for (const auto& device : ports.devices()) all.insert(std::string(device->name()));
        return all;
    }

    asio::io_context loop{1};
    std::shared_ptr<DeviceSlots> slots = std::make_shared<DeviceSlots>(loop, Log());
    IoBus ports{Space::port, slots};
    IoBus mmio{Space::memory, slots};
    DeviceHost host{
        .ports = ports,
        .mmio = mmio,
        .finish = [](const Outcome&) {},
        .open_chardev = [this](std::string_view) { return open_chardev(ChardevSpec{}, ChardevEnvironment{.loop = loop}); }};
};

std::string refusal(const PcDescription& description) {
    try {
        static_cast<void>(pc_surroundings(description));
    } catch (const Error& error) {
        BOOST_TEST((error.kind() == ErrorKind::usage));
        return error.what();
    }
    return "it is not refused";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(pc_board)

BOOST_AUTO_TEST_CASE(numbers_out_of_their_range_are_refused_by_name) {
    BOOST_TEST(refusal({.cpus = 0}) == "a pc machine has 1 to 255 CPUs, not 0");
    BOOST_TEST(refusal({.cpus = 256}) == "a pc machine has 1 to 255 CPUs, not 256");
    BOOST_TEST(refusal({.serial_ports = 5}) == "a pc machine has 0 to 4 serial ports, not 5");
    BOOST_TEST(refusal({.virtio_devices = 33}) == "a pc machine has 0 to 32 virtio devices, not 33");
    BOOST_TEST(refusal({.virtio_devices = 32, .virtio_transport = VirtioTransport::pci}) ==
               "a pc machine has 0 to 31 virtio devices, not 32");
    BOOST_TEST(refusal({.virtio_devices = 31, .virtio_transport = VirtioTransport::pci}) == "it is not refused");
    BOOST_TEST(refusal({.cpus = 255, .serial_ports = 4, .virtio_devices = 32}) == "it is not refused");
}

BOOST_AUTO_TEST_CASE(every_device_of_the_table_is_on_the_bus) {
    const auto names = Board({}).names();
    for (const Row& row : pc_rows()) BOOST_TEST(names.contains(std::string(row.kind)), row.kind);
    BOOST_TEST(names.size() == pc_rows().size());
}

BOOST_AUTO_TEST_CASE(ports_with_which_guests_of_other_monitors_power_off_are_there) {
    Board board({});
    for (const unsigned port : {0xb004, 0x4004}) BOOST_TEST(board.ports.device_name(port) == "power");
    for (const unsigned port : {0x600, 0x604}) BOOST_TEST(board.ports.device_name(port) == "acpi-pm");
}

BOOST_AUTO_TEST_CASE(a_device_that_is_left_out_is_not_on_the_bus) {
    for (const Row& row : pc_rows()) {
        const auto names = Board({.without = {std::string(row.kind)}}).names();
        BOOST_TEST(!names.contains(std::string(row.kind)), row.kind);
        BOOST_TEST(names.size() == pc_rows().size() - 1);
    }
}

BOOST_AUTO_TEST_CASE(acpi_has_the_serial_ports_that_the_machine_has) {
    const auto devices = describe({.serial_ports = 3, .without = {"rtc", "i8042", "pvpanic"}}).devices;
    BOOST_REQUIRE_EQUAL(devices.size(), 3u);
    BOOST_TEST(devices[0].name == "COM1");
    BOOST_TEST(devices[0].ports.front().first == 0x3f8u);
    BOOST_TEST(devices[0].irq.value() == 4u);
    BOOST_TEST(devices[1].ports.front().first == 0x2f8u);
    BOOST_TEST(devices[1].irq.value() == 3u);
    BOOST_TEST(devices[2].name == "COM3");
    BOOST_TEST(devices[2].uid.value() == 3u);
}

BOOST_AUTO_TEST_CASE(acpi_has_each_device_with_a_name_at_the_ports_where_it_is) {
    const auto devices = describe({.announce_keyboard = true}).devices;
    for (const Row& row : pc_rows()) {
        if (row.acpi_name.empty()) continue;
        const auto named = std::ranges::find(devices, row.acpi_name, &AcpiDevice::name);
        BOOST_REQUIRE(named != devices.end());
        BOOST_TEST(named->hardware_id == row.hardware_id);
        for (const AddressRange& range : named->ports) {
            BOOST_TEST(Board({}).ports.device_name(range.first) == row.kind);
        }
        const auto fewer = describe({.without = {std::string(row.kind)}, .announce_keyboard = true}).devices;
        BOOST_TEST((std::ranges::find(fewer, row.acpi_name, &AcpiDevice::name) == fewer.end()));
    }
}

BOOST_AUTO_TEST_CASE(acpi_has_each_virtio_device_where_it_is_attached) {
    const auto devices = describe({.serial_ports = 0, .without = {"rtc", "i8042", "pvpanic"}, .virtio_devices = 10}).devices;
    BOOST_REQUIRE_EQUAL(devices.size(), 10u);
    BOOST_TEST(devices[9].name == "VR09");
    BOOST_TEST(devices[9].hardware_id == "LNRO0005");
    BOOST_TEST(devices[9].gsi.value() == 17u);
    Board board({});
    add_virtio_device(board.host, 9, virtio::make_rng());
    BOOST_TEST(board.mmio.device_name(devices[9].memory->first) == "virtio-rng");
    BOOST_TEST(board.mmio.device_name(devices[9].memory->first + 0xfff) == "virtio-rng");
    BOOST_CHECK_THROW(add_virtio_device(board.host, 32, virtio::make_rng()), Error);
    BOOST_CHECK_THROW(add_virtio_device(board.host, 9, virtio::make_rng()), Error);
}

BOOST_AUTO_TEST_CASE(the_tables_have_each_slot_of_the_pci_bus_with_the_interrupt_that_it_has) {
    const PcDescription description{.virtio_devices = 3, .virtio_transport = VirtioTransport::pci};
    const auto tables = describe(description);
    BOOST_TEST((std::ranges::find(tables.devices, "LNRO0005", &AcpiDevice::hardware_id) == tables.devices.end()));
    BOOST_REQUIRE(tables.pci.has_value());
    BOOST_TEST(tables.reset_register);
    BOOST_REQUIRE_EQUAL(tables.pci->irqs.size(), 3u);
    for (unsigned slot = 1; slot <= 3; ++slot) {
        const PciSlot place = pci_slot(slot);
        BOOST_TEST(tables.pci->irqs[slot - 1] == place.irq);
        BOOST_TEST(place.bar >= pci_window.first);
        BOOST_TEST(place.bar < pci_window.first + pci_window.size);
    }
    BOOST_TEST(pci_slot(most_pci_slots).bar < pci_window.first + pci_window.size);
    BOOST_TEST(!describe({.virtio_devices = 3}).pci.has_value());
}

BOOST_AUTO_TEST_CASE(the_host_bridge_has_the_configuration_ports_and_ecam) {
    const PcDescription description{.virtio_devices = 1, .virtio_transport = VirtioTransport::pci};
    Board board(description);
    BOOST_TEST(!board.names().contains("pci-config"));
    const auto pci = add_pci_host(board.host);
    for (const unsigned port : {0xcf8, 0xcf9, 0xcff}) BOOST_TEST(board.ports.device_name(port) == "pci-host");
    BOOST_TEST(board.mmio.device_name(pci_ecam.first) == "pci-host");
    BOOST_TEST(board.mmio.device_name(pci_ecam.first + pci_ecam.size - 1) == "pci-host");
    add_pci_virtio_device(board.host, *pci, 1, virtio::make_rng());
    BOOST_CHECK_THROW(add_pci_virtio_device(board.host, *pci, 1, virtio::make_rng()), Error);
    BOOST_CHECK_THROW(add_pci_virtio_device(board.host, *pci, 32, virtio::make_rng()), Error);
    BOOST_CHECK_THROW(static_cast<void>(add_pci_host(board.host)), Error);
}

BOOST_AUTO_TEST_CASE(the_fixed_table_knows_what_is_left_out) {
    BOOST_TEST(describe({}).reset_register);
    BOOST_TEST(!describe({.without = {"pci-config"}}).reset_register);
    BOOST_TEST(describe({}).clock);
    BOOST_TEST(!describe({.without = {"rtc"}}).clock);
    BOOST_TEST(describe({.announce_keyboard = true}).keyboard_controller);
    BOOST_TEST(!describe({.without = {"i8042"}, .announce_keyboard = true}).keyboard_controller);
}

BOOST_AUTO_TEST_CASE(acpi_names_the_keyboard_controller_only_if_it_is_asked_to) {
    const auto quiet = describe({});
    BOOST_TEST(!quiet.keyboard_controller);
    BOOST_TEST((std::ranges::find(quiet.devices, "PNP0303", &AcpiDevice::hardware_id) == quiet.devices.end()));
    BOOST_TEST(Board({}).ports.device_name(0x64) == "i8042");
}

BOOST_AUTO_TEST_CASE(the_bios_data_area_names_serial_ports_and_memory) {
    const auto bytes = table_named(pc_surroundings({.serial_ports = 2}), "BIOS data area").bytes;
    BOOST_TEST(number_at(bytes, 0x00, 2) == 0x3f8u);
    BOOST_TEST(number_at(bytes, 0x02, 2) == 0x2f8u);
    BOOST_TEST(number_at(bytes, 0x04, 2) == 0u);
    BOOST_TEST(number_at(bytes, 0x0e, 2) == 0x9fc0u);  // segment of the extended area
    BOOST_TEST((number_at(bytes, 0x10, 2) >> 9 & 7) == 2u);
    BOOST_TEST(number_at(bytes, 0x13, 2) == 639u);
    BOOST_TEST(number_at(table_named(pc_surroundings({}), "extended BIOS data area").bytes, 0, 1) == 1u);
}

BOOST_AUTO_TEST_CASE(tables_can_be_left_out) {
    const auto names = [](const PcDescription& description) {
        std::set<std::string> all;
        for (const BootTable& table : pc_surroundings(description).tables) all.insert(table.name);
        return all;
    };
    BOOST_TEST(names({}).contains("ACPI tables"));
    BOOST_TEST(names({}).contains("MP table"));
    BOOST_TEST(pc_surroundings({}).rsdp == 0xe'0000u);
    BOOST_TEST(!names({.acpi = false}).contains("ACPI tables"));
    BOOST_TEST(pc_surroundings({.acpi = false}).rsdp == 0u);
    BOOST_TEST(!names({.mp_table = false}).contains("MP table"));
}

BOOST_AUTO_TEST_SUITE_END()
