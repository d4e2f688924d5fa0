#include "report/trail.hpp"

#include "bytes.hpp"

#include <boost/test/unit_test.hpp>

using namespace asyncvm;
using asyncvm::test::bytes;

namespace {

PortAccess port(Direction direction, std::uint8_t size, std::vector<std::byte>& data) {
    PortAccess access;
    access.direction = direction;
    access.size = size;
    access.address = 0x3f8;
    access.data = data;
    return access;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_write_is_remembered_with_its_data) {
    ExitTrail trail;
    auto data = bytes({0x34, 0x12});
    trail.record(port(Direction::write, 2, data), 0x10003);
    BOOST_TEST(trail.size() == 1u);
    BOOST_TEST((trail[0].kind == ExitTrail::Kind::port));
    BOOST_TEST((trail[0].direction == Direction::write));
    BOOST_TEST(trail[0].address == 0x3f8u);
    BOOST_TEST(trail[0].size == 2);
    BOOST_TEST(trail[0].count == 1u);
    BOOST_TEST(trail[0].data == 0x1234u);
    BOOST_TEST(trail[0].valid == 2);
    BOOST_TEST(trail[0].rip == 0x10003u);
}

BOOST_AUTO_TEST_CASE(a_read_has_its_data_once_it_was_answered) {
    ExitTrail trail;
    auto data = bytes({0xaa});
    const PortAccess access = port(Direction::read, 1, data);
    trail.record(access, 0);
    BOOST_TEST(trail[0].valid == 0);
    data[0] = std::byte{0x60};
    trail.answered(access);
    BOOST_TEST(trail[0].valid == 1);
    BOOST_TEST(trail[0].data == 0x60u);
}

BOOST_AUTO_TEST_CASE(an_answer_leaves_a_write_as_the_guest_made_it) {
    ExitTrail trail;
    auto data = bytes({1});
    const PortAccess access = port(Direction::write, 1, data);
    trail.record(access, 0);
    data[0] = std::byte{2};
    trail.answered(access);
    BOOST_TEST(trail[0].data == 1u);
}

BOOST_AUTO_TEST_CASE(of_a_string_the_first_eight_bytes_are_kept) {
    ExitTrail trail;
    std::vector<std::byte> data(1024, std::byte{0x41});
    trail.record(port(Direction::write, 1, data), 0);
    BOOST_TEST(trail[0].count == 1024u);
    BOOST_TEST(trail[0].valid == 8);
    BOOST_TEST(trail[0].data == 0x4141'4141'4141'4141u);
}

BOOST_AUTO_TEST_CASE(the_oldest_is_forgotten) {
    ExitTrail trail;
    for (std::uint64_t rip = 0; rip < 40; ++rip) trail.record(Halted{}, rip);
    BOOST_TEST(trail.size() == ExitTrail::capacity);
    BOOST_TEST(trail.total() == 40u);
    BOOST_TEST(trail[0].rip == 24u);
    BOOST_TEST(trail[15].rip == 39u);
}

BOOST_AUTO_TEST_CASE(the_same_access_again_is_counted_where_it_was) {
    ExitTrail trail;
    auto answer = bytes({0x60});
    const PortAccess poll = port(Direction::read, 1, answer);
    auto letter = bytes({'x'});
    const PortAccess print = port(Direction::write, 1, letter);
    for (std::uint64_t rip = 1; rip <= 15; ++rip) trail.record(Halted{}, rip);
    for (int i = 0; i < 1000; ++i) {
        trail.record(poll, 0x100);
        trail.answered(poll);
    }
    BOOST_TEST(trail.size() == ExitTrail::capacity);
    BOOST_TEST(trail[0].rip == 1u);  // nothing is forgotten for it
    BOOST_TEST(trail[15].times == 1000u);
    BOOST_TEST(trail[15].data == 0x60u);
    for (int i = 0; i < 3; ++i) trail.record(print, 0x200);
    BOOST_TEST(trail[14].times == 1000u);
    BOOST_TEST(trail[15].times == 3u);
    BOOST_TEST(trail.total() == 1018u);
}

BOOST_AUTO_TEST_CASE(what_differs_in_anything_is_another_access) {
    auto data = bytes({1});
    const PortAccess access = port(Direction::write, 1, data);
    const auto count_with = [&](const PortAccess& other, std::uint64_t rip) {
        ExitTrail trail;
        trail.record(access, 0x100);
        trail.record(other, rip);
        trail.answered(other);
        return trail.size();
    };
    BOOST_TEST(count_with(access, 0x100) == 1u);
    BOOST_TEST(count_with(access, 0x101) == 2u);
    auto other_data = bytes({2});
    BOOST_TEST(count_with(port(Direction::write, 1, other_data), 0x100) == 2u);
    BOOST_TEST(count_with(port(Direction::read, 1, data), 0x100) == 2u);
    auto wide = bytes({1, 0});
    BOOST_TEST(count_with(port(Direction::write, 2, wide), 0x100) == 2u);
    auto twice = bytes({1, 1});
    BOOST_TEST(count_with(port(Direction::write, 1, twice), 0x100) == 2u);
    PortAccess elsewhere = access;
    elsewhere.address = 0x3f9;
    BOOST_TEST(count_with(elsewhere, 0x100) == 2u);
    MmioAccess memory;
    static_cast<Transaction&>(memory) = access;
    ExitTrail trail;
    trail.record(access, 0x100);
    trail.record(memory, 0x100);
    BOOST_TEST(trail.size() == 2u);
}

BOOST_AUTO_TEST_CASE(strings_of_which_not_all_is_known_are_never_the_same) {
    ExitTrail trail;
    std::vector<std::byte> data(9, std::byte{0x41});
    trail.record(port(Direction::write, 1, data), 0);
    trail.record(port(Direction::write, 1, data), 0);
    BOOST_TEST(trail.size() == 2u);
    auto eight = std::vector<std::byte>(data.begin(), data.end() - 1);
    trail.record(port(Direction::write, 1, eight), 0);
    trail.record(port(Direction::write, 1, eight), 0);
    BOOST_TEST(trail.size() == 3u);
    trail.record(port(Direction::write, 1, data), 0);
    BOOST_TEST(trail.size() == 4u);
}

BOOST_AUTO_TEST_CASE(a_read_without_its_answer_is_no_other_read) {
    ExitTrail trail;
    auto data = bytes({0});
    const PortAccess access = port(Direction::read, 1, data);
    trail.record(access, 0);
    trail.record(access, 0);
    BOOST_TEST(trail.size() == 2u);
}

BOOST_AUTO_TEST_CASE(every_kind_of_exit_but_an_interruption_is_recorded) {
    ExitTrail trail;
    trail.record(Interrupted{}, 1);
    BOOST_TEST(trail.size() == 0u);
    trail.record(MmioAccess{}, 1);
    trail.record(Halted{}, 2);
    trail.record(ShutDown{}, 3);
    trail.record(Debug{}, 4);
    trail.record(SystemEvent{}, 5);
    trail.record(Failure{}, 6);
    const ExitTrail::Kind kinds[] = {ExitTrail::Kind::mmio,  ExitTrail::Kind::halted,       ExitTrail::Kind::shut_down,
                                     ExitTrail::Kind::debug, ExitTrail::Kind::system_event, ExitTrail::Kind::failure};
    BOOST_REQUIRE(trail.size() == std::size(kinds));
    for (std::size_t i = 0; i < std::size(kinds); ++i) {
        BOOST_TEST((trail[i].kind == kinds[i]));
        BOOST_TEST(trail[i].rip == i + 1);
    }
}

BOOST_AUTO_TEST_CASE(a_transfer_of_nothing_is_no_harm) {
    ExitTrail trail;
    std::vector<std::byte> none;
    trail.answered(port(Direction::read, 1, none));
    trail.record(port(Direction::write, 0, none), 0);
    trail.answered(port(Direction::read, 0, none));
    BOOST_TEST(trail[0].count == 0u);
    BOOST_TEST(trail[0].valid == 0);
}
