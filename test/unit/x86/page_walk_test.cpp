#include "x86/page_walk.hpp"

#include "../report/bytes.hpp"
#include "boot/initial_state.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <random>

using namespace asyncvm;
using asyncvm::test::put_number;
using Status = PageWalk::Status;

namespace {

constexpr std::uint64_t mib = 1 << 20;
constexpr std::uint64_t cr0_pg_pe = 0x8000'0001;
constexpr std::uint64_t pse = 1u << 4;
constexpr std::uint64_t pae = 1u << 5;
constexpr std::uint64_t la57 = 1u << 12;
constexpr std::uint64_t lma = 1u << 10;
constexpr std::uint64_t present = 1;
constexpr std::uint64_t large = 0x81;
constexpr std::uint64_t no_execute = std::uint64_t{1} << 63;

struct Paged {
    GuestMemory memory{mib};
    Registers registers;

    Paged(std::uint64_t cr4, std::uint64_t efer, std::uint64_t cr3 = 0x1000) {
        registers.cr0 = cr0_pg_pe;
        registers.cr4 = cr4;
        registers.efer = efer;
        registers.cr3 = cr3;
    }
    void entry32(std::uint64_t table, unsigned index, std::uint32_t value) { put_number(memory, table + 4 * index, value); }
    void entry64(std::uint64_t table, unsigned index, std::uint64_t value) { put_number(memory, table + 8 * index, value); }
    [[nodiscard]] PageWalk walk(std::uint64_t linear) const { return translate(memory, registers, linear); }
};

void check_mapped(const PageWalk& walk, std::uint64_t physical, std::uint64_t page_size) {
    BOOST_TEST((walk.status == Status::mapped));
    BOOST_TEST(walk.physical == physical);
    BOOST_TEST(walk.page_size == page_size);
}

}  // namespace

BOOST_AUTO_TEST_CASE(without_paging_addresses_are_physical) {
    const GuestMemory memory(mib);
    check_mapped(translate(memory, {}, 0x12345), 0x12345, 4096);
    BOOST_TEST(translate(memory, {}, 0x1'0000'1234).physical == 0x1234u);
}

BOOST_AUTO_TEST_CASE(paging_of_32_bits_has_two_levels) {
    Paged guest(0, 0);
    guest.entry32(0x1000, 1, 0x2000 | present);
    guest.entry32(0x2000, 3, 0x5000 | present);
    check_mapped(guest.walk(0x0040'3456), 0x5456, 4096);
    BOOST_TEST((guest.walk(0x0040'4000).status == Status::not_present));
    BOOST_TEST(guest.walk(0x0040'4000).level == 1u);
    BOOST_TEST((guest.walk(0x0080'0000).status == Status::not_present));
    BOOST_TEST(guest.walk(0x0080'0000).level == 2u);
}

BOOST_AUTO_TEST_CASE(pages_of_4_mib_need_pse_and_reach_above_4_gib) {
    Paged guest(pse, 0);
    guest.entry32(0x1000, 1, 0x0040'0000 | large);
    check_mapped(guest.walk(0x0052'3456), 0x0052'3456, 4 * mib);
    guest.entry32(0x1000, 2, 0x0040'2000 | large);  // bit 13 is bit 32 of the address
    check_mapped(guest.walk(0x0080'0001), 0x1'0040'0001, 4 * mib);
    // Without PSE the same bit means nothing, and the entry names a table, which is not there.
    guest.registers.cr4 = 0;
    BOOST_TEST((guest.walk(0x0052'3456).status == Status::table_outside));
}

BOOST_AUTO_TEST_CASE(pae_has_three_levels_and_pages_of_2_mib) {
    Paged guest(pae, 0, 0x1fe0);  // 32 bytes are enough for the top table
    guest.entry64(0x1fe0, 3, 0x3000 | present);
    guest.entry64(0x3000, 5, 0x4000 | present | no_execute);
    guest.entry64(0x4000, 6, 0x1'2345'6000 | present | no_execute);
    guest.entry64(0x3000, 7, 0x0060'0000 | large);
    check_mapped(guest.walk(0xc0a0'6789), 0x1'2345'6789, 4096);
    check_mapped(guest.walk(0xc0f2'3456), 0x0072'3456, 2 * mib);
    BOOST_TEST((guest.walk(0x4000'0000).status == Status::not_present));
    BOOST_TEST(guest.walk(0x4000'0000).level == 3u);
}

BOOST_AUTO_TEST_CASE(long_mode_has_four_levels_and_three_sizes_of_pages) {
    Paged guest(pae, lma);
    guest.entry64(0x1000, 256, 0x2000 | present);
    guest.entry64(0x2000, 1, 0x3000 | present);
    guest.entry64(0x2000, 2, 0x4000'0000 | large);
    guest.entry64(0x3000, 2, 0x4000 | present);
    guest.entry64(0x3000, 3, 0x0020'0000 | large);
    guest.entry64(0x4000, 4, 0x7000 | present | no_execute);
    check_mapped(guest.walk(0xffff'8000'4040'4567), 0x7567, 4096);
    check_mapped(guest.walk(0xffff'8000'4061'2345), 0x0021'2345, 2 * mib);
    check_mapped(guest.walk(0xffff'8000'8123'4567), 0x4123'4567, 1024 * mib);
    BOOST_TEST((guest.walk(0xffff'8000'4040'5000).status == Status::not_present));
    BOOST_TEST(guest.walk(0xffff'8000'4040'5000).level == 1u);
    BOOST_TEST(guest.walk(0).level == 4u);
    BOOST_TEST((guest.walk(0x0000'8000'4040'4567).status == Status::not_canonical));
}

BOOST_AUTO_TEST_CASE(the_pat_bit_of_a_large_page_is_no_part_of_its_address) {
    Paged guest(pae, lma);
    guest.entry64(0x1000, 0, 0x2000 | present);
    guest.entry64(0x2000, 0, 0x3000 | present);
    guest.entry64(0x3000, 1, 0x0020'1000 | large);
    check_mapped(guest.walk(0x0020'0042), 0x0020'0042, 2 * mib);
}

BOOST_AUTO_TEST_CASE(five_levels_make_more_addresses_canonical) {
    Paged guest(pae | la57, lma);
    guest.entry64(0x1000, 1, 0x2000 | present);
    guest.entry64(0x2000, 0, 0x3000 | present);
    guest.entry64(0x3000, 0, 0x4000 | present);
    guest.entry64(0x4000, 0, 0x5000 | present);
    guest.entry64(0x5000, 9, 0x8000 | present);
    check_mapped(guest.walk(0x0001'0000'0000'9123), 0x8123, 4096);
    BOOST_TEST((guest.walk(0x0100'0000'0000'0000).status == Status::not_canonical));
    BOOST_TEST(guest.walk(0).level == 5u);
}

BOOST_AUTO_TEST_CASE(tables_outside_of_the_memory_end_the_walk) {
    Paged guest(pae, lma, 0x000f'ffff'ffff'f000);
    BOOST_TEST((guest.walk(0).status == Status::table_outside));
    BOOST_TEST(guest.walk(0).level == 4u);
    guest.registers.cr3 = mib - 4096;
    guest.entry64(mib - 4096, 511, mib | present);
    BOOST_TEST((guest.walk(~std::uint64_t{0}).status == Status::table_outside));
    BOOST_TEST(guest.walk(~std::uint64_t{0}).level == 3u);
}

BOOST_AUTO_TEST_CASE(the_loader_s_tables_lead_where_they_say) {
    GuestMemory memory(mib);
    const Registers registers = initial_registers(memory, Mode::long64, 0x10000);
    for (const std::uint64_t address :
         {std::uint64_t{0}, std::uint64_t{0x10003}, GuestMemory::boot_tables_base + 8, std::uint64_t{0xffff'ffff}}) {
        check_mapped(translate(memory, registers, address), address, 2 * mib);
    }
    BOOST_TEST((translate(memory, registers, GuestMemory::high_base).status == Status::not_present));
}

BOOST_AUTO_TEST_CASE(bytes_are_read_across_pages_that_are_no_neighbours) {
    Paged guest(0, 0);
    guest.entry32(0x1000, 0, 0x2000 | present);
    guest.entry32(0x2000, 1, 0x6000 | present);
    guest.entry32(0x2000, 2, 0x5000 | present);
    guest.entry32(0x2000, 4, 0xfff000 | present);
    put_number(guest.memory, 0x6ffe, std::uint16_t{0x0201});
    put_number(guest.memory, 0x5000, std::uint16_t{0x0403});
    std::uint32_t value = 0;
    const auto to = std::as_writable_bytes(std::span(&value, 1));
    BOOST_TEST(read_linear(guest.memory, guest.registers, 0x1ffe, to) == 4u);
    BOOST_TEST(value == 0x0403'0201u);
    BOOST_TEST(read_linear(guest.memory, guest.registers, 0x2ffe, to) == 2u);  // the next page is not present
    BOOST_TEST(read_linear(guest.memory, guest.registers, 0x3000, to) == 0u);
    BOOST_TEST(read_linear(guest.memory, guest.registers, 0x4000, to) == 0u);  // mapped to where no memory is
}

BOOST_AUTO_TEST_CASE(bytes_are_written_across_pages) {
    Paged guest(0, 0);
    guest.entry32(0x1000, 0, 0x2000 | present);
    guest.entry32(0x2000, 1, 0x6000 | present);
    guest.entry32(0x2000, 2, 0x5000 | present);
    const std::array bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
    BOOST_TEST(write_linear(guest.memory, guest.registers, 0x1ffe, bytes) == 4u);
    BOOST_TEST((guest.memory.try_at(0x6fff, 1)[0] == std::byte{2}));
    BOOST_TEST((guest.memory.try_at(0x5000, 1)[0] == std::byte{3}));
    BOOST_TEST(write_linear(guest.memory, guest.registers, 0x2ffe, bytes) == 2u);  // the next page is not present
    BOOST_TEST(write_linear(guest.memory, guest.registers, 0x3000, bytes) == 0u);
}

BOOST_AUTO_TEST_CASE(no_tables_lead_out_of_the_memory) {
    std::mt19937_64 random(1);
    GuestMemory memory(16 * 4096);
    std::array<std::byte, 128> bytes{};
    for (int round = 0; round < 40; ++round) {
        for (auto& byte : memory.try_at(0, memory.ram_size())) byte = static_cast<std::byte>(random());
        // Half of the entries stay in the memory, so that walks get deep.
        for (std::uint64_t at = 0; at < memory.ram_size(); at += 8) {
            if (random() % 2 == 0) put_number(memory, at, (random() % 16 << 12) | present | (random() % 4 == 0 ? large : 0));
        }
        for (int i = 0; i < 500; ++i) {
            Registers registers;
            registers.cr0 = cr0_pg_pe;
            registers.cr3 = random() % 16 << 12;
            registers.cr4 = random();
            registers.efer = random();
            const std::uint64_t linear = random() >> (random() % 64);
            BOOST_REQUIRE(translate(memory, registers, linear).level <= 5);
            BOOST_REQUIRE(read_linear(memory, registers, linear, bytes) <= bytes.size());
        }
    }
}
