// AML byte by byte, as ACPI 6.5, chapter 20, has it.
#include "board/aml.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <initializer_list>
#include <string>

using namespace asyncvm::board;

namespace {

aml::Code bytes(std::initializer_list<unsigned> values) {
    aml::Code code;
    for (const unsigned value : values) code.push_back(static_cast<std::byte>(value));
    return code;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(aml_code)

BOOST_AUTO_TEST_CASE(an_integer_takes_the_shortest_form) {
    BOOST_TEST((aml::integer(0) == bytes({0x00})));
    BOOST_TEST((aml::integer(1) == bytes({0x01})));
    BOOST_TEST((aml::integer(2) == bytes({0x0a, 0x02})));
    BOOST_TEST((aml::integer(0xff) == bytes({0x0a, 0xff})));
    BOOST_TEST((aml::integer(0x100) == bytes({0x0b, 0x00, 0x01})));
    BOOST_TEST((aml::integer(0xffff) == bytes({0x0b, 0xff, 0xff})));
    BOOST_TEST((aml::integer(0x10000) == bytes({0x0c, 0x00, 0x00, 0x01, 0x00})));
    BOOST_TEST((aml::integer(0x1'0000'0000) == bytes({0x0e, 0, 0, 0, 0, 1, 0, 0, 0})));
}

BOOST_AUTO_TEST_CASE(a_hardware_id_of_seven_characters_is_eisa_s_number_and_others_are_strings) {
    BOOST_TEST((aml::hardware_id("PNP0501") == bytes({0x0c, 0x41, 0xd0, 0x05, 0x01})));
    BOOST_TEST((aml::hardware_id("PNP0B00") == bytes({0x0c, 0x41, 0xd0, 0x0b, 0x00})));
    BOOST_TEST((aml::hardware_id("QEMU0001") == bytes({0x0d, 'Q', 'E', 'M', 'U', '0', '0', '0', '1', 0})));
}

BOOST_AUTO_TEST_CASE(names_are_filled_up_to_four_characters) {
    BOOST_TEST((aml::name("\\_S5", aml::integer(1)) == bytes({0x08, '\\', '_', 'S', '5', '_', 0x01})));
    BOOST_TEST((aml::name("_HID", aml::integer(0)) == bytes({0x08, '_', 'H', 'I', 'D', 0x00})));
}

BOOST_AUTO_TEST_CASE(a_package_counts_its_elements_and_its_length_counts_itself) {
    BOOST_TEST((aml::package({aml::integer(5), aml::integer(0)}) == bytes({0x12, 0x05, 0x02, 0x0a, 0x05, 0x00})));
}

BOOST_AUTO_TEST_CASE(a_length_grows_by_a_byte_at_64_and_at_4096) {
    // A scope's length counts itself, the name (4 bytes) and the contents.
    const auto length_of = [](std::size_t contents) {
        const aml::Code scope = aml::scope("ABCD", aml::Code(contents));
        BOOST_TEST(std::to_integer<unsigned>(scope[0]) == 0x10u);
        const auto first = std::to_integer<std::size_t>(scope[1]);
        const std::size_t more = first >> 6;
        std::size_t length = more == 0 ? first & 0x3f : first & 0xf;
        for (std::size_t at = 0; at < more; ++at) {
            length |= std::to_integer<std::size_t>(scope[2 + at]) << (4 + 8 * at);
        }
        BOOST_TEST(length == scope.size() - 1);
        BOOST_TEST(std::to_integer<char>(scope[2 + more]) == 'A');
        return more + 1;
    };
    BOOST_TEST(length_of(58) == 1u);
    BOOST_TEST(length_of(59) == 2u);
    BOOST_TEST(length_of(4089) == 2u);
    BOOST_TEST(length_of(4090) == 3u);
    BOOST_TEST(length_of((1 << 20) - 8) == 3u);
    BOOST_TEST(length_of((1 << 20) - 7) == 4u);
}

BOOST_AUTO_TEST_CASE(memory_and_a_level_triggered_interrupt_are_resources_too) {
    BOOST_TEST((aml::memory(0xfeb0'1000, 0x1000) == bytes({0x86, 9, 0, 1, 0x00, 0x10, 0xb0, 0xfe, 0x00, 0x10, 0, 0})));
    BOOST_TEST((aml::level_interrupt(17) == bytes({0x89, 6, 0, 0x09, 1, 17, 0, 0, 0})));
}

BOOST_AUTO_TEST_CASE(resources_are_ports_and_an_interrupt_and_an_end) {
    const auto resources = aml::resource_template(aml::join({aml::io_ports(0x3f8, 8), aml::isa_interrupt(4)}));
    BOOST_TEST((resources == bytes({0x11, 0x10, 0x0a, 0x0d,                          // Buffer (13)
                                    0x47, 0x01, 0xf8, 0x03, 0xf8, 0x03, 0x01, 0x08,  // IO (Decode16, 0x3f8, 0x3f8, 1, 8)
                                    0x22, 0x10, 0x00,                                // IRQNoFlags () {4}
                                    0x79, 0x00})));
}

BOOST_AUTO_TEST_SUITE_END()
