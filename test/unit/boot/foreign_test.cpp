#include "boot/foreign.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

using namespace asyncvm;

namespace {

Foreign format_of(const std::string& image) { return foreign_format(std::as_bytes(std::span(image))); }

std::string multiboot_at(std::size_t place, std::uint32_t magic, std::uint32_t sum_error) {
    std::string image(place + 12, '\0');
    const std::uint32_t header[] = {magic, 1, 0 - magic - 1 + sum_error};
    std::memcpy(image.data() + place, header, sizeof header);
    return image;
}

}  // namespace

BOOST_AUTO_TEST_CASE(formats_are_known_by_their_magic_numbers) {
    BOOST_TEST((format_of("\x7f"
                          "ELF") == Foreign::elf));
    BOOST_TEST((format_of("\x7f"
                          "EL") == Foreign::none));
    BOOST_TEST((format_of("") == Foreign::none));
    std::string sector(0x206, '\0');
    sector.replace(0x202, 4, "HdrS");
    BOOST_TEST((format_of(sector) == Foreign::none));
    sector.replace(0x1fe, 2, "\x55\xaa");
    BOOST_TEST((format_of(sector) == Foreign::bzimage));
    BOOST_TEST((format_of(sector.substr(0, 0x205)) == Foreign::none));
}

BOOST_AUTO_TEST_CASE(multiboot_needs_its_checksum_its_alignment_and_a_place_in_the_first_8_kib) {
    constexpr std::uint32_t magic = 0x1bad'b002;
    BOOST_TEST((format_of(multiboot_at(0, magic, 0)) == Foreign::multiboot));
    BOOST_TEST((format_of(multiboot_at(8192 - 12, magic, 0)) == Foreign::multiboot));
    BOOST_TEST((format_of(multiboot_at(8192 - 8, magic, 0)) == Foreign::none));
    BOOST_TEST((format_of(multiboot_at(2, magic, 0)) == Foreign::none));
    BOOST_TEST((format_of(multiboot_at(0, magic, 1)) == Foreign::none));
    BOOST_TEST((format_of(multiboot_at(0, magic, 0).substr(0, 11)) == Foreign::none));
}

BOOST_AUTO_TEST_CASE(multiboot_2_needs_its_checksum_its_alignment_and_a_place_in_the_first_32_kib) {
    const auto at = [](std::size_t place, std::uint32_t sum_error) {
        std::string image(place + 16, '\0');
        const std::uint32_t header[] = {0xe852'50d6, 0, 16, 0 - 0xe852'50d6u - 16 + sum_error};
        std::memcpy(image.data() + place, header, sizeof header);
        return image;
    };
    BOOST_TEST((format_of(at(0, 0)) == Foreign::multiboot));
    BOOST_TEST((format_of(at(32768 - 16, 0)) == Foreign::multiboot));
    BOOST_TEST((format_of(at(32768 - 8, 0)) == Foreign::none));
    BOOST_TEST((format_of(at(4, 0)) == Foreign::none));
    BOOST_TEST((format_of(at(0, 1)) == Foreign::none));
    BOOST_TEST((format_of(at(0, 0).substr(0, 15)) == Foreign::none));
}

BOOST_AUTO_TEST_CASE(no_beginning_of_a_file_is_read_past_its_end) {
    std::mt19937 random(1);
    for (int i = 0; i < 300; ++i) {
        // Of its own size on the heap, so that a sanitizer sees the end.
        std::vector<std::byte> image(random() % 1200);
        for (std::byte& byte : image) byte = static_cast<std::byte>(random());
        BOOST_REQUIRE((foreign_format(image) == Foreign::none));
    }
}
