// QEMU's firmware configuration: what firmware and kvm-unit-tests read.
#define BOOST_TEST_MODULE fw_cfg
#include <asyncvm/devices.hpp>
#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include "device_runner.hpp"
#include "devices/fw_cfg_registers.hpp"
#include "surroundings.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

using namespace asyncvm;
using R = FwCfgRegisters;

namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

struct Fixture {
    R registers{5ull << 30, 3, {{"etc/zebra", bytes_of("stripes")}, {"etc/ant", bytes_of("six")}}};

    std::string read(std::uint16_t key, std::size_t size) {
        registers.select(key);
        std::string text(size, '?');
        registers.read(std::as_writable_bytes(std::span(text)));
        return text;
    }
    std::uint64_t number(std::uint16_t key, std::size_t size) {
        std::uint64_t value = 0;
        const auto text = read(key, size);
        for (std::size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(text[i]);
        return value;
    }
};

/// An entry of the directory.
std::string entry(std::string_view size_and_key, std::string name) {
    name.resize(56);
    return std::string(size_and_key) + name;
}

using namespace std::string_literals;
using namespace std::string_view_literals;

}  // namespace

BOOST_FIXTURE_TEST_SUITE(fw_cfg, Fixture)

BOOST_AUTO_TEST_CASE(the_well_known_items) {
    BOOST_TEST(read(R::signature, 4) == "QEMU");
    BOOST_TEST(number(R::id, 4) == 1u);
    BOOST_TEST(number(R::ram_size, 8) == 5ull << 30);
    BOOST_TEST(number(R::cpus, 2) == 3u);
    BOOST_TEST(number(R::most_cpus, 2) == 3u);
}

BOOST_AUTO_TEST_CASE(the_directory_has_the_files_by_name_and_big_endian) {
    const auto expected =
        "\0\0\0\2"s + entry("\0\0\0\3\0\x20\0\0"sv, "etc/ant") + entry("\0\0\0\7\0\x21\0\0"sv, "etc/zebra");
    BOOST_TEST((read(R::directory, expected.size()) == expected));
    BOOST_TEST(read(0x20, 3) == "six");
    BOOST_TEST(read(0x21, 7) == "stripes");
}

BOOST_AUTO_TEST_CASE(there_are_zeros_behind_the_end_and_where_nothing_is) {
    BOOST_TEST((read(R::signature, 6) == "QEMU\0\0"s));
    BOOST_TEST((read(0x22, 2) == "\0\0"s));
    BOOST_TEST((read(0x8003, 2) == "\0\0"s));
    BOOST_TEST(read(0x4000 | 0x20, 3) == "six");  // the bit for writes
}

BOOST_AUTO_TEST_CASE(reading_goes_on_until_an_item_is_selected) {
    BOOST_TEST(read(0x21, 3) == "str");
    std::array<std::byte, 4> rest{};
    registers.read(rest);
    BOOST_TEST((rest == std::array{std::byte{'i'}, std::byte{'p'}, std::byte{'e'}, std::byte{'s'}}));
    registers.select(0x21);
    registers.reset();
    registers.read(rest);
    BOOST_TEST((rest[0] == std::byte{'Q'}));
}

BOOST_AUTO_TEST_CASE(files_that_can_t_be_are_refused) {
    const auto refused = [](std::vector<FwCfgFile> files, std::string_view message) {
        BOOST_CHECK_EXCEPTION(R(0, 1, std::move(files)), Error, [message](const Error& error) {
            BOOST_TEST(error.what() == message);
            return error.kind() == ErrorKind::usage;
        });
    };
    refused({{"", {}}}, "the fw_cfg file '': a name has 1 to 55 bytes");
    refused({{std::string(56, 'n'), {}}}, "the fw_cfg file '" + std::string(56, 'n') + "': a name has 1 to 55 bytes");
    refused({{"a", {}}, {"b", {}}, {"a", {}}}, "the fw_cfg file 'a' is there twice");
    refused(std::vector<FwCfgFile>(0x3fe1), "fw_cfg has room for 16352 files, not for 16353");
    BOOST_CHECK_NO_THROW(R(0, 1, {{std::string(55, 'n'), {}}}));
}

BOOST_AUTO_TEST_CASE(the_memory_map_is_an_array_of_20_bytes_each) {
    const std::array map{MemoryRange{.address = 0, .size = 0x9fc00, .kind = MemoryKind::ram},
                         MemoryRange{.address = 0x1'0000'0000, .size = 0x10, .kind = MemoryKind::acpi_nvs}};
    const auto file = fw_cfg_memory_map(map);
    BOOST_TEST(file.name == "etc/e820");
    BOOST_REQUIRE(file.contents.size() == 40u);
    BOOST_TEST((file.contents[9] == std::byte{0xfc}));
    BOOST_TEST((file.contents[16] == std::byte{1}));
    BOOST_TEST((file.contents[24] == std::byte{1}));
    BOOST_TEST((file.contents[36] == std::byte{4}));
}

BOOST_AUTO_TEST_CASE(the_place_of_a_console_is_a_word) {
    const auto file = fw_cfg_serial_console(0x3f8);
    BOOST_TEST(file.name == "etc/sercon-port");
    BOOST_TEST((file.contents == std::vector{std::byte{0xf8}, std::byte{0x03}}));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(the_device_takes_a_word_for_the_selector_and_gives_bytes_and_strings) {
    asio::io_context loop{1};
    Surroundings surroundings(loop);
    const auto device = make_fw_cfg(2, {{"etc/file", bytes_of("contents")}});
    device->attached(surroundings.context());
    DeviceRunner vcpu;
    Access data = DeviceRunner::make_access(0x511, 1);
    data.offset = 1;
    vcpu.write(*device, DeviceRunner::make_access(0x510, 2, R::ram_size));
    std::uint64_t size = 0;
    for (unsigned i = 0; i < 8; ++i) size |= vcpu.read(*device, data) << (8 * i);
    BOOST_TEST(size == GuestMemory::page_size);
    vcpu.write(*device, DeviceRunner::make_access(0x510, 2, R::first_file));
    vcpu.write(*device, DeviceRunner::make_access(0x510, 1, 0));  // half a selector selects nothing
    std::string text(10, '?');
    vcpu.finish(device->read_string(data, std::as_writable_bytes(std::span(text))));
    BOOST_TEST((text == "contents\0\0"s));
    BOOST_TEST(vcpu.read(*device, DeviceRunner::make_access(0x510, 2)) == 0xffffu);
}
