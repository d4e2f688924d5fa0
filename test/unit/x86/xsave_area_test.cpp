#include "x86/xsave_area.hpp"

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <random>
#include <vector>

using namespace asyncvm;

namespace {

constexpr std::size_t avx_offset = 576;
constexpr std::size_t whole = 832;

std::array<std::byte, 10> x87(std::uint16_t exponent, std::uint64_t mantissa) {
    std::array<std::byte, 10> value{};
    std::memcpy(value.data(), &mantissa, sizeof mantissa);
    std::memcpy(value.data() + 8, &exponent, sizeof exponent);
    return value;
}

template <typename T>
void put(std::vector<std::byte>& area, std::size_t at, T value) {
    std::memcpy(area.data() + at, &value, sizeof value);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(xsave_area)

BOOST_AUTO_TEST_CASE(an_area_without_parts_is_as_after_a_reset) {
    std::vector<std::byte> area(whole, std::byte{0xaa});
    put(area, 512, std::uint64_t{0});
    const FpuRegisters registers = read_xsave_area(area, avx_offset);
    BOOST_TEST(registers.control == 0x37f);
    BOOST_TEST(registers.tags == 0xffff);
    BOOST_TEST(registers.mxcsr == 0x1f80u);
    BOOST_TEST((registers.xmm == FpuRegisters{}.xmm));
    BOOST_TEST((registers.ymm_high == FpuRegisters{}.ymm_high));
    BOOST_TEST(registers.avx);
    BOOST_TEST(!read_xsave_area(area, 0).avx);
}

BOOST_AUTO_TEST_CASE(where_the_registers_are) {
    std::vector<std::byte> area(whole);
    put(area, 0, std::uint16_t{0x27f});
    put(area, 2, std::uint16_t{0x3000});      // the top is 6
    put(area, 4, std::uint8_t{0b1100'0000});  // 6 and 7 are in use
    put(area, 6, std::uint16_t{0x1eb});
    put(area, 8, std::uint64_t{0x8'1122'3344});
    put(area, 16, std::uint64_t{0x10'5566'7788});
    put(area, 24, std::uint32_t{0x1fa0});
    const auto pi = x87(0x4000, 0xc90f'daa2'2168'c235);
    std::memcpy(area.data() + 32, pi.data(), pi.size());
    put(area, 160 + 16 * 15, std::uint64_t{0x99});
    put(area, avx_offset + 16 * 3, std::uint64_t{0x77});
    put(area, 512, std::uint64_t{7});
    const FpuRegisters registers = read_xsave_area(area, avx_offset);
    BOOST_TEST(registers.control == 0x27f);
    BOOST_TEST(registers.status == 0x3000);
    BOOST_TEST(registers.tags == 0x4fff);  // ST0 is register 6 and valid, ST1 is register 7 and zero
    BOOST_TEST(registers.opcode == 0x1eb);
    BOOST_TEST(registers.instruction == 0x8'1122'3344u);
    BOOST_TEST(registers.operand == 0x10'5566'7788u);
    BOOST_TEST(registers.mxcsr == 0x1fa0u);
    BOOST_TEST((registers.st[0] == pi));
    BOOST_TEST((registers.xmm[15][0] == std::byte{0x99}));
    BOOST_TEST((registers.ymm_high[3][0] == std::byte{0x77}));
}

BOOST_AUTO_TEST_CASE(tags) {
    FpuRegisters registers;
    registers.st[0] = x87(0x3fff, 1ull << 63);
    registers.st[1] = x87(0, 0);
    registers.st[2] = x87(0x7fff, 1ull << 63);  // infinity
    registers.st[3] = x87(0, 1);                // a denormal
    registers.st[4] = x87(0x3fff, 1);           // no number
    registers.tags = 0xfc00;
    std::vector<std::byte> area(whole);
    write_xsave_area(area, 0, registers);
    BOOST_TEST(std::to_integer<int>(area[4]) == 0b0001'1111);
    BOOST_TEST(read_xsave_area(area, 0).tags == 0xfea4);
}

BOOST_AUTO_TEST_CASE(nothing_else_is_written) {
    std::vector<std::byte> area(whole + 64, std::byte{0x5a});
    put(area, 512, std::uint64_t{1} << 9);  // another part
    write_xsave_area(area, avx_offset, FpuRegisters{});
    std::uint64_t present = 0;
    std::memcpy(&present, area.data() + 512, sizeof present);
    BOOST_TEST(present == ((std::uint64_t{1} << 9) | 7));
    BOOST_TEST((area[28] == std::byte{0x5a}));   // MXCSR_MASK
    BOOST_TEST((area[42] == std::byte{0x5a}));   // behind ST0
    BOOST_TEST((area[520] == std::byte{0x5a}));  // XCOMP_BV
    BOOST_TEST((area[whole] == std::byte{0x5a}));
    std::vector<std::byte> small(xsave_least, std::byte{0});
    write_xsave_area(small, avx_offset, FpuRegisters{});
    std::memcpy(&present, small.data() + 512, sizeof present);
    BOOST_TEST(present == 3u);
}

BOOST_AUTO_TEST_CASE(any_area_and_any_offset) {
    std::mt19937_64 random(1);
    for (int round = 0; round < 20'000; ++round) {
        std::vector<std::byte> area(xsave_least + random() % 512);
        for (auto& byte : area) byte = static_cast<std::byte>(random());
        const std::size_t offset = random() % 4 == 0 ? random() : random() % 1024;
        const FpuRegisters read = read_xsave_area(area, offset);
        write_xsave_area(area, offset, read);
        const FpuRegisters again = read_xsave_area(area, offset);
        BOOST_REQUIRE((again.xmm == read.xmm));
        BOOST_REQUIRE((again.st == read.st));
        BOOST_REQUIRE(again.tags == read.tags);
        BOOST_REQUIRE((again.ymm_high == read.ymm_high));
    }
}

BOOST_AUTO_TEST_SUITE_END()
