// ACPI tables byte by byte, and as Intel's compiler reads them.
#include "board/acpi.hpp"

#include <asyncvm/board.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "table_reader.hpp"

using namespace asyncvm;
using namespace asyncvm::board;
using namespace asyncvm::test;

namespace {

constexpr std::uint64_t tables_at = 0xe'0000;

AcpiDescription full(unsigned cpus) {
    return {.cpus = cpus,
            .keyboard_controller = true,
            .clock = true,
            .reset_register = true,
            .devices = {{.name = "COM1", .hardware_id = "PNP0501", .uid = 1, .ports = {{0x3f8, 8}}, .irq = 4},
                        {.name = "COM2", .hardware_id = "PNP0501", .uid = 2, .ports = {{0x2f8, 8}}, .irq = 3},
                        {.name = "RTC", .hardware_id = "PNP0B00", .ports = {{0x70, 2}}, .irq = 8},
                        {.name = "KBD", .hardware_id = "PNP0303", .ports = {{0x60, 1}, {0x64, 1}}, .irq = 1},
                        {.name = "PEVT", .hardware_id = "QEMU0001", .ports = {{0x505, 1}}},
                        {.name = "VR00",
                         .hardware_id = "LNRO0005",
                         .uid = 0,
                         .ports = {},
                         .memory = AddressRange{0xfeb0'0000, 0x1000},
                         .gsi = 16}},
            .pci = AcpiPci{.ecam = {0xe000'0000, 0x10'0000}, .window = {0xc000'0000, 0x2000'0000}, .irqs = {11, 10, 11}}};
}

bool iasl_is_there() { return std::system("command -v iasl >/dev/null 2>&1") == 0; }

boost::test_tools::assertion_result needs_iasl(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result result(iasl_is_there());
    if (!result) result.message() << "needs iasl (package acpica-tools)";
    return result;
}

std::string content(const std::filesystem::path& file) {
    std::ostringstream text;
    text << std::ifstream(file, std::ios::binary).rdbuf();
    return text.str();
}

/// A directory that is gone at the end.
struct Scratch {
    Scratch() {
        std::string name = (std::filesystem::temp_directory_path() / "acpi-XXXXXX").string();
        BOOST_REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { std::filesystem::remove_all(path); }

    /// Runs iasl there; returns what it said.
    std::string iasl(const std::string& arguments) const {
        const std::string command = "cd '" + path.string() + "' && iasl " + arguments + " >said 2>&1";
        const int result = std::system(command.c_str());
        const std::string said = content(path / "said");
        BOOST_TEST(result == 0, command << " failed:\n" << said);
        return said;
    }

    std::filesystem::path path;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(acpi)

BOOST_AUTO_TEST_CASE(the_fixed_table_has_the_power_management_ports_and_the_interrupt) {
    const auto bytes = make_acpi_tables(full(1), tables_at);
    const auto fadt = AcpiReader(bytes, tables_at).table("FACP");
    BOOST_TEST(number_at(fadt, 8, 1) == 6u);
    BOOST_TEST(fadt.size() == 276u);
    BOOST_TEST(number_at(fadt, 46, 2) == 9u);             // SCI_INT
    BOOST_TEST(number_at(fadt, 48, 4) == 0u);             // SMI_CMD: always in ACPI mode
    BOOST_TEST(number_at(fadt, 56, 4) == 0x600u);         // PM1a_EVT_BLK
    BOOST_TEST(number_at(fadt, 64, 4) == 0x604u);         // PM1a_CNT_BLK
    BOOST_TEST(number_at(fadt, 76, 4) == 0x608u);         // PM_TMR_BLK
    BOOST_TEST(number_at(fadt, 88, 1) == 4u);             // PM1_EVT_LEN
    BOOST_TEST(number_at(fadt, 89, 1) == 2u);             // PM1_CNT_LEN
    BOOST_TEST(number_at(fadt, 91, 1) == 4u);             // PM_TMR_LEN
    BOOST_TEST(number_at(fadt, 148, 4) == 0x0200'2001u);  // the same in 64 bits: among ports, 32 bits, by words
    BOOST_TEST(number_at(fadt, 152, 8) == 0x600u);
    BOOST_TEST(number_at(fadt, 172, 4) == 0x0200'1001u);
    BOOST_TEST(number_at(fadt, 176, 8) == 0x604u);
    BOOST_TEST(number_at(fadt, 208, 4) == 0x0300'2001u);
    BOOST_TEST(number_at(fadt, 212, 8) == 0x608u);
    BOOST_TEST(number_at(fadt, 140, 8) == number_at(fadt, 40, 4));  // X_DSDT
    BOOST_TEST(number_at(fadt, 132, 8) == 0u);                      // X_FIRMWARE_CTRL
    const auto flags = number_at(fadt, 112, 4);
    BOOST_TEST((flags & 1u << 8) != 0u);   // TMR_VAL_EXT
    BOOST_TEST((flags & 1u << 20) == 0u);  // not hardware-reduced
}

BOOST_AUTO_TEST_CASE(the_fixed_table_says_what_is_there) {
    const auto fadt_of = [](const AcpiDescription& description) { return make_fadt(description, 0xe0040, 0xe0080); };
    constexpr unsigned has_8042 = 1 << 1, no_vga = 1 << 2, no_clock = 1 << 5;
    const auto with = fadt_of(full(1));
    BOOST_TEST((number_at(with, 109, 2) & (has_8042 | no_vga | no_clock)) == (has_8042 | no_vga));
    BOOST_TEST(number_at(with, 108, 1) == 0x32u);  // CENTURY
    BOOST_TEST((number_at(with, 112, 4) & 1u << 10) != 0u);
    BOOST_TEST(number_at(with, 116, 4) == 0x0100'0801u);
    BOOST_TEST(number_at(with, 120, 8) == 0xcf9u);
    BOOST_TEST(number_at(with, 128, 1) == 6u);
    const auto without = fadt_of({.cpus = 1});
    BOOST_TEST((number_at(without, 109, 2) & (has_8042 | no_vga | no_clock)) == (no_vga | no_clock));
    BOOST_TEST(number_at(without, 108, 1) == 0u);
    BOOST_TEST((number_at(without, 112, 4) & 1u << 10) == 0u);
    BOOST_TEST(number_at(without, 120, 8) == 0u);
}

BOOST_AUTO_TEST_CASE(the_interrupt_table_has_each_cpu_the_ioapic_and_what_differs_from_isa) {
    for (const unsigned cpus : {1u, 2u, 255u}) {
        const auto madt = make_madt(cpus);
        BOOST_TEST(number_at(madt, 36, 4) == 0xfee0'0000u);
        BOOST_TEST(number_at(madt, 40, 4) == 1u);  // there are PICs too
        std::vector<unsigned> local_apics;
        unsigned io_apics = 0, overrides = 0, nmis = 0;
        for (std::size_t at = 44; at < madt.size(); at += number_at(madt, at + 1, 1)) {
            BOOST_REQUIRE_GE(number_at(madt, at + 1, 1), 6u);
            switch (number_at(madt, at, 1)) {
                case 0:
                    BOOST_TEST(number_at(madt, at + 2, 1) == number_at(madt, at + 3, 1));
                    BOOST_TEST(number_at(madt, at + 4, 4) == 1u);
                    local_apics.push_back(static_cast<unsigned>(number_at(madt, at + 3, 1)));
                    break;
                case 1:
                    ++io_apics;
                    BOOST_TEST(number_at(madt, at + 4, 4) == 0xfec0'0000u);
                    BOOST_TEST(number_at(madt, at + 8, 4) == 0u);
                    break;
                case 2:
                    ++overrides;
                    if (number_at(madt, at + 3, 1) == 0) {
                        BOOST_TEST(number_at(madt, at + 4, 4) == 2u);
                        BOOST_TEST(number_at(madt, at + 8, 2) == 0u);
                    } else {
                        BOOST_TEST(number_at(madt, at + 3, 1) == 9u);
                        BOOST_TEST(number_at(madt, at + 4, 4) == 9u);
                        BOOST_TEST(number_at(madt, at + 8, 2) == 0xdu);  // active high, level
                    }
                    break;
                case 4:
                    ++nmis;
                    BOOST_TEST(number_at(madt, at + 2, 1) == 0xffu);
                    BOOST_TEST(number_at(madt, at + 5, 1) == 1u);
                    break;
                default:
                    BOOST_ERROR("an entry of type " << number_at(madt, at, 1));
            }
        }
        BOOST_REQUIRE_EQUAL(local_apics.size(), cpus);
        for (unsigned cpu = 0; cpu < cpus; ++cpu) BOOST_TEST(local_apics[cpu] == cpu);
        BOOST_TEST(io_apics == 1u);
        BOOST_TEST(overrides == 2u);
        BOOST_TEST(nmis == 1u);
    }
}

BOOST_AUTO_TEST_CASE(the_firmware_structure_is_where_the_fixed_table_says) {
    const auto bytes = make_acpi_tables(full(1), tables_at);
    const AcpiReader reader(bytes, tables_at);
    BOOST_TEST(text_at(reader.facs(), 0, 4) == "FACS");
    BOOST_TEST(reader.facs().size() == 64u);
    BOOST_TEST(number_at(reader.facs(), 32, 1) == 2u);
}

BOOST_AUTO_TEST_CASE(iasl_takes_the_tables_apart_and_compiles_them_again_without_a_warning,
                     *boost::unit_test::precondition(needs_iasl)) {
    for (const unsigned cpus : {1u, 2u, 255u}) {
        const Scratch scratch;
        const auto bytes = make_acpi_tables(full(cpus), tables_at);
        const AcpiReader reader(bytes, tables_at);
        for (const std::string name : {"DSDT", "FACP", "APIC", "MCFG", "RSDT", "XSDT"}) {
            const auto table = reader.table(name);
            std::ofstream(scratch.path / (name + ".aml"), std::ios::binary)
                .write(reinterpret_cast<const char*>(table.data()), static_cast<std::streamsize>(table.size()));
            const auto taken_apart = scratch.iasl("-d " + name + ".aml");
            for (const char* const complaint : {"Warning", "Error", "Invalid", "Incorrect"}) {
                BOOST_TEST(taken_apart.find(complaint) == std::string::npos, taken_apart);
            }
            const auto made = scratch.iasl("-we " + name + ".dsl");
            BOOST_TEST(made.find("0 Errors, 0 Warnings") != std::string::npos, made);
        }
        const auto source = content(scratch.path / "DSDT.dsl");
        for (const char* const part : {"Name (\\_S5, Package (0x04)",
                                       "Device (COM1)",
                                       "EisaId (\"PNP0501\")",
                                       "Device (COM2)",
                                       "EisaId (\"PNP0B00\")",
                                       "EisaId (\"PNP0303\")",
                                       "\"QEMU0001\"",
                                       "IRQNoFlags ()",
                                       "{4}",
                                       "\"LNRO0005\"",
                                       "Memory32Fixed (ReadWrite",
                                       "0xFEB00000,",
                                       "Interrupt (ResourceConsumer, Level, ActiveHigh, Shared",
                                       "Device (PCI0)",
                                       "EisaId (\"PNP0A08\")",
                                       "EisaId (\"PNP0A03\")",
                                       "EisaId (\"PNP0C02\")",
                                       "WordBusNumber (ResourceProducer",
                                       "DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed",
                                       "0xC0000000,         // Range Minimum",
                                       "0xDFFFFFFF,         // Range Maximum",
                                       "0x0001FFFF,",
                                       "0x0003FFFF,",
                                       "0x00000010,",
                                       "0x0505,             // Range Minimum"}) {
            BOOST_TEST(source.find(part) != std::string::npos, part << " is not in\n" << source);
        }
        const auto fixed = content(scratch.path / "FACP.dsl");
        for (const char* const part :
             {"Reset Register Supported (V2) : 1", "8042 Present on ports 60/64 (V2) : 1", "CMOS RTC Not Present (V5) : 0",
              "VGA Not Present (V4) : 1", "Value to cause reset : 06"}) {
            BOOST_TEST(fixed.find(part) != std::string::npos, part << " is not in\n" << fixed);
        }
    }
}

BOOST_AUTO_TEST_CASE(ecam_is_in_a_table_of_its_own_if_there_is_a_pci_bus) {
    const auto bytes = make_acpi_tables(full(1), tables_at);
    const auto mcfg = AcpiReader(bytes, tables_at).table("MCFG");
    BOOST_TEST(mcfg.size() == 60u);
    BOOST_TEST(number_at(mcfg, 44, 8) == 0xe000'0000u);
    BOOST_TEST(number_at(mcfg, 52, 2) == 0u);  // segment
    BOOST_TEST(number_at(mcfg, 54, 2) == 0u);  // buses 0 to 0
}

BOOST_AUTO_TEST_CASE(a_table_without_devices_still_has_the_soft_off_state) {
    const auto dsdt = make_dsdt({});
    BOOST_TEST(text_at(dsdt, 37, 4) == "\\_S5");
    BOOST_TEST(text_at(dsdt, 36, 1) == "\x08");
    // Package (4) {5, 5, 0, 0}
    BOOST_TEST(number_at(dsdt, 42, 8) == 0x00'05'0a'05'0a'04'08'12u);
}

BOOST_AUTO_TEST_SUITE_END()
