// MP tables, decoded as the MultiProcessor Specification 1.4 says.
#include "board/mp_table.hpp"

#include <boost/test/unit_test.hpp>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "table_reader.hpp"

using namespace asyncvm::board;
using namespace asyncvm::test;

namespace {

constexpr std::uint64_t tables_at = 0xf'0000;

struct Decoded {
    std::vector<unsigned> processors;
    std::vector<unsigned> boot_processors;
    std::map<unsigned, unsigned> inputs;                      ///< of the IOAPIC, by ISA interrupt
    std::map<unsigned, unsigned> flags;                       ///< by ISA interrupt
    std::map<unsigned, std::pair<unsigned, unsigned>> local;  ///< kind of interrupt: local APIC, its input
    std::vector<std::string> buses;
    std::map<unsigned, unsigned> pci_inputs;  ///< of the IOAPIC, by slot
    unsigned ioapics = 0;
};

Decoded decode(const std::vector<std::byte>& bytes) {
    BOOST_TEST(text_at(bytes, 0, 4) == "_MP_");
    BOOST_TEST(number_at(bytes, 8, 1) == 1u);
    BOOST_TEST(number_at(bytes, 9, 1) == 4u);
    BOOST_TEST(sum_of(std::span(bytes).first(16)) == 0u);
    BOOST_TEST(number_at(bytes, 11, 1) == 0u);  // no default configuration
    const auto place = number_at(bytes, 4, 4);
    BOOST_REQUIRE_GE(place, tables_at + 16);
    const auto table = std::span(bytes).subspan(place - tables_at);
    BOOST_TEST(text_at(table, 0, 4) == "PCMP");
    BOOST_REQUIRE_EQUAL(number_at(table, 4, 2), table.size());
    BOOST_TEST(number_at(table, 6, 1) == 4u);
    BOOST_TEST(sum_of(table) == 0u);
    BOOST_TEST(number_at(table, 36, 4) == 0xfee0'0000u);

    Decoded result;
    std::size_t at = 44;
    for (auto entries = number_at(table, 34, 2); entries > 0; --entries) {
        const auto type = number_at(table, at, 1);
        const auto field = [&](unsigned offset) { return static_cast<unsigned>(number_at(table, at + offset, 1)); };
        if (type == 0) {
            BOOST_TEST((field(3) & 1) == 1u);
            BOOST_TEST((number_at(table, at + 8, 4) & 1 << 9) != 0u);
            result.processors.push_back(field(1));
            if ((field(3) & 2) != 0) result.boot_processors.push_back(field(1));
        } else if (type == 1) {
            BOOST_TEST(field(1) == result.buses.size());
            result.buses.push_back(text_at(table, at + 2, 6));
        } else if (type == 2) {
            ++result.ioapics;
            BOOST_TEST(field(1) == 0u);
            BOOST_TEST(field(3) == 1u);
            BOOST_TEST(number_at(table, at + 4, 4) == 0xfec0'0000u);
        } else if (type == 3) {
            BOOST_TEST(field(1) == 0u);
            BOOST_TEST(field(6) == 0u);
            const auto flags = static_cast<unsigned>(number_at(table, at + 2, 2));
            if (result.buses.at(field(4)) == "PCI   ") {
                BOOST_TEST((field(5) & 3) == 0u);  // INTA#
                BOOST_TEST(flags == 0xdu);
                result.pci_inputs[field(5) >> 2] = field(7);
            } else {
                result.inputs[field(5)] = field(7);
                result.flags[field(5)] = flags;
            }
        } else {
            BOOST_TEST(type == 4u);
            result.local[field(1)] = {field(6), field(7)};
        }
        at += type == 0 ? 20 : 8;
    }
    BOOST_TEST(at == table.size());
    return result;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(mp_table)

BOOST_AUTO_TEST_CASE(each_cpu_is_there_once_and_the_first_is_the_one_that_boots) {
    for (const unsigned cpus : {1u, 2u, 255u}) {
        const auto decoded = decode(make_mp_table(cpus, tables_at));
        BOOST_REQUIRE_EQUAL(decoded.processors.size(), cpus);
        for (unsigned cpu = 0; cpu < cpus; ++cpu) BOOST_TEST(decoded.processors[cpu] == cpu);
        BOOST_TEST(decoded.boot_processors == std::vector<unsigned>{0}, boost::test_tools::per_element());
        BOOST_TEST(decoded.buses == std::vector<std::string>{"ISA   "}, boost::test_tools::per_element());
        BOOST_TEST(decoded.ioapics == 1u);
    }
}

BOOST_AUTO_TEST_CASE(isa_interrupts_go_to_the_inputs_that_acpi_says) {
    const auto decoded = decode(make_mp_table(2, tables_at));
    BOOST_TEST(decoded.inputs.size() == 15u);
    BOOST_TEST(!decoded.inputs.contains(2));  // the cascade
    for (const auto& [irq, input] : decoded.inputs) {
        BOOST_TEST(input == (irq == 0 ? 2 : irq));
        BOOST_TEST(decoded.flags.at(irq) == (irq == 9 ? 0xdu : 0u));
    }
}

BOOST_AUTO_TEST_CASE(a_pci_bus_has_its_own_number_and_an_interrupt_for_each_slot) {
    const std::vector<unsigned> irqs{11, 10, 11};
    const auto decoded = decode(make_mp_table(2, tables_at, irqs));
    BOOST_TEST(decoded.buses == (std::vector<std::string>{"PCI   ", "ISA   "}), boost::test_tools::per_element());
    BOOST_TEST(decoded.inputs.size() == 15u);
    BOOST_TEST((decoded.pci_inputs == std::map<unsigned, unsigned>{{1, 11}, {2, 10}, {3, 11}}));
}

BOOST_AUTO_TEST_CASE(the_pic_is_at_lint0_of_the_first_cpu_and_nmi_at_lint1_of_all) {
    const auto decoded = decode(make_mp_table(2, tables_at));
    BOOST_TEST(decoded.local.size() == 2u);
    BOOST_TEST((decoded.local.at(3) == std::pair{0u, 0u}));
    BOOST_TEST((decoded.local.at(1) == std::pair{0xffu, 1u}));
}

BOOST_AUTO_TEST_SUITE_END()
