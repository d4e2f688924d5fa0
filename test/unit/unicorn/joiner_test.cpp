#define BOOST_TEST_MODULE unicorn
#include "accel/unicorn/joiner.hpp"

#include <boost/test/unit_test.hpp>

using namespace asyncvm;
using namespace asyncvm::unicorn;

namespace {

void check(Joiner::Part part, std::uint64_t address, unsigned offset, unsigned size) {
    BOOST_TEST(part.address == address);
    BOOST_TEST(part.offset == offset);
    BOOST_TEST(part.size == size);
}

std::uint64_t value(Joiner& joiner) {
    std::uint64_t all = 0;
    for (unsigned i = 0; i < 8; ++i) all |= std::to_integer<std::uint64_t>(joiner.data()[i]) << (8 * i);
    return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(joiner)

BOOST_AUTO_TEST_CASE(eight_bytes_in_two_pieces_are_one_access) {
    Joiner joiner;
    joiner.begin(Direction::read, 0xd0000008, 8, 0);
    check(joiner.part_for(0xd0000008), 0xd0000008, 0, 8);
    for (unsigned i = 0; i < 8; ++i) joiner.data()[i] = std::byte(i + 1);
    BOOST_TEST(joiner.piece(0xd0000008, 4) == 0x04030201u);
    BOOST_TEST(joiner.part_for(0xd000000c).size == 0u);
    BOOST_TEST(joiner.piece(0xd000000c, 4) == 0x08070605u);
}

BOOST_AUTO_TEST_CASE(an_unaligned_read_is_one_access_of_what_the_guest_reads) {
    Joiner joiner;
    joiner.begin(Direction::read, 0xd0000003, 4, 0);
    joiner.begin(Direction::read, 0xd0000000, 4, 0);  // Unicorn's first aligned piece
    check(joiner.part_for(0xd0000000), 0xd0000003, 0, 4);
    for (unsigned i = 0; i < 4; ++i) joiner.data()[i] = std::byte(i + 1);
    BOOST_TEST(joiner.piece(0xd0000000, 4) == 0x01000000u);
    joiner.begin(Direction::read, 0xd0000004, 4, 0);
    BOOST_TEST(joiner.part_for(0xd0000004).size == 0u);
    BOOST_TEST(joiner.piece(0xd0000004, 4) == 0x00040302u);
}

BOOST_AUTO_TEST_CASE(an_access_across_pages_is_two) {
    Joiner joiner;
    joiner.begin(Direction::read, 0xd0000ffd, 4, 0);
    check(joiner.part_for(0xd0000ffc), 0xd0000ffd, 0, 3);
    check(joiner.part_for(0xd0001000), 0xd0001000, 3, 1);
}

BOOST_AUTO_TEST_CASE(a_write_in_bytes_is_one_access) {
    Joiner joiner;
    joiner.begin(Direction::write, 0xd0000001, 4, 0x44332211);
    check(joiner.part_for(0xd0000001), 0xd0000001, 0, 4);
    BOOST_TEST(value(joiner) == 0x44332211u);
    for (unsigned i = 0; i < 4; ++i) {
        joiner.begin(Direction::write, 0xd0000001 + i, 1, 0x99);
        if (i != 0) BOOST_TEST(joiner.part_for(0xd0000001 + i).size == 0u);
    }
    BOOST_TEST(value(joiner) == 0x44332211u);
}

BOOST_AUTO_TEST_CASE(a_read_and_then_a_write_of_the_same_place_are_two_accesses) {
    Joiner joiner;
    joiner.begin(Direction::read, 0xd0000001, 4, 0);
    BOOST_TEST(joiner.part_for(0xd0000000).size == 4u);
    joiner.begin(Direction::write, 0xd0000001, 4, 5);
    check(joiner.part_for(0xd0000001), 0xd0000001, 0, 4);
}

BOOST_AUTO_TEST_CASE(a_new_instruction_forgets_the_old_access) {
    Joiner joiner;
    joiner.begin(Direction::read, 0xd0000001, 4, 0);
    BOOST_TEST(joiner.part_for(0xd0000000).size == 4u);
    joiner.reset();
    BOOST_TEST(!joiner.active());
    joiner.begin(Direction::read, 0xd0000000, 4, 0);
    check(joiner.part_for(0xd0000000), 0xd0000000, 0, 4);
}

BOOST_AUTO_TEST_SUITE_END()
