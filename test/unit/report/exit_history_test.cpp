#include "report/exit_history.hpp"

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
    ExitHistory history;
    auto data = bytes({0x34, 0x12});
    history.exited(0, port(Direction::write, 2, data), 0x10003);
    BOOST_TEST(history.size() == 1u);
    BOOST_TEST((history[0].kind == ExitHistory::Kind::port));
    BOOST_TEST((history[0].direction == Direction::write));
    BOOST_TEST(history[0].address == 0x3f8u);
    BOOST_TEST(history[0].size == 2);
    BOOST_TEST(history[0].count == 1u);
    BOOST_TEST(history[0].data == 0x1234u);
    BOOST_TEST(history[0].valid == 2);
    BOOST_TEST(history[0].rip == 0x10003u);
}

BOOST_AUTO_TEST_CASE(a_read_has_its_data_once_it_was_answered) {
    ExitHistory history;
    auto data = bytes({0xaa});
    const PortAccess access = port(Direction::read, 1, data);
    history.exited(0, access, 0);
    BOOST_TEST(history[0].valid == 0);
    data[0] = std::byte{0x60};
    history.answered(0, access);
    BOOST_TEST(history[0].valid == 1);
    BOOST_TEST(history[0].data == 0x60u);
}

BOOST_AUTO_TEST_CASE(an_answer_leaves_a_write_as_the_guest_made_it) {
    ExitHistory history;
    auto data = bytes({1});
    const PortAccess access = port(Direction::write, 1, data);
    history.exited(0, access, 0);
    data[0] = std::byte{2};
    history.answered(0, access);
    BOOST_TEST(history[0].data == 1u);
}

BOOST_AUTO_TEST_CASE(of_a_string_the_first_eight_bytes_are_kept) {
    ExitHistory history;
    std::vector<std::byte> data(1024, std::byte{0x41});
    history.exited(0, port(Direction::write, 1, data), 0);
    BOOST_TEST(history[0].count == 1024u);
    BOOST_TEST(history[0].valid == 8);
    BOOST_TEST(history[0].data == 0x4141'4141'4141'4141u);
}

BOOST_AUTO_TEST_CASE(the_oldest_is_forgotten) {
    ExitHistory history;
    for (std::uint64_t rip = 0; rip < 40; ++rip) history.exited(0, Halted{}, rip);
    BOOST_TEST(history.size() == ExitHistory::capacity);
    BOOST_TEST(history.total() == 40u);
    BOOST_TEST(history[0].rip == 24u);
    BOOST_TEST(history[15].rip == 39u);
}

BOOST_AUTO_TEST_CASE(the_same_access_again_is_counted_where_it_was) {
    ExitHistory history;
    auto answer = bytes({0x60});
    const PortAccess poll = port(Direction::read, 1, answer);
    auto letter = bytes({'x'});
    const PortAccess print = port(Direction::write, 1, letter);
    for (std::uint64_t rip = 1; rip <= 15; ++rip) history.exited(0, Halted{}, rip);
    for (int i = 0; i < 1000; ++i) {
        history.exited(0, poll, 0x100);
        history.answered(0, poll);
    }
    BOOST_TEST(history.size() == ExitHistory::capacity);
    BOOST_TEST(history[0].rip == 1u);  // nothing is forgotten for it
    BOOST_TEST(history[15].times == 1000u);
    BOOST_TEST(history[15].data == 0x60u);
    for (int i = 0; i < 3; ++i) history.exited(0, print, 0x200);
    BOOST_TEST(history[14].times == 1000u);
    BOOST_TEST(history[15].times == 3u);
    BOOST_TEST(history.total() == 1018u);
}

BOOST_AUTO_TEST_CASE(what_differs_in_anything_is_another_access) {
    auto data = bytes({1});
    const PortAccess access = port(Direction::write, 1, data);
    const auto count_with = [&](const PortAccess& other, std::uint64_t rip) {
        ExitHistory history;
        history.exited(0, access, 0x100);
        history.exited(0, other, rip);
        history.answered(0, other);
        return history.size();
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
    ExitHistory history;
    history.exited(0, access, 0x100);
    history.exited(0, memory, 0x100);
    BOOST_TEST(history.size() == 2u);
}

BOOST_AUTO_TEST_CASE(strings_of_which_not_all_is_known_are_never_the_same) {
    ExitHistory history;
    std::vector<std::byte> data(9, std::byte{0x41});
    history.exited(0, port(Direction::write, 1, data), 0);
    history.exited(0, port(Direction::write, 1, data), 0);
    BOOST_TEST(history.size() == 2u);
    auto eight = std::vector<std::byte>(data.begin(), data.end() - 1);
    history.exited(0, port(Direction::write, 1, eight), 0);
    history.exited(0, port(Direction::write, 1, eight), 0);
    BOOST_TEST(history.size() == 3u);
    history.exited(0, port(Direction::write, 1, data), 0);
    BOOST_TEST(history.size() == 4u);
}

BOOST_AUTO_TEST_CASE(a_read_without_its_answer_is_no_other_read) {
    ExitHistory history;
    auto data = bytes({0});
    const PortAccess access = port(Direction::read, 1, data);
    history.exited(0, access, 0);
    history.exited(0, access, 0);
    BOOST_TEST(history.size() == 2u);
}

BOOST_AUTO_TEST_CASE(every_kind_of_exit_but_an_interruption_is_recorded) {
    ExitHistory history;
    history.exited(0, Interrupted{}, 1);
    BOOST_TEST(history.size() == 0u);
    history.exited(0, MmioAccess{}, 1);
    history.exited(0, Halted{}, 2);
    history.exited(0, ShutDown{}, 3);
    history.exited(0, Debug{}, 4);
    history.exited(0, SystemEvent{}, 5);
    history.exited(0, Failure{}, 6);
    const ExitHistory::Kind kinds[] = {ExitHistory::Kind::mmio,         ExitHistory::Kind::halted,
                                       ExitHistory::Kind::shut_down,    ExitHistory::Kind::debug,
                                       ExitHistory::Kind::system_event, ExitHistory::Kind::failure};
    BOOST_REQUIRE(history.size() == std::size(kinds));
    for (std::size_t i = 0; i < std::size(kinds); ++i) {
        BOOST_TEST((history[i].kind == kinds[i]));
        BOOST_TEST(history[i].rip == i + 1);
    }
}

BOOST_AUTO_TEST_CASE(a_transfer_of_nothing_is_no_harm) {
    ExitHistory history;
    std::vector<std::byte> none;
    history.answered(0, port(Direction::read, 1, none));
    history.exited(0, port(Direction::write, 0, none), 0);
    history.answered(0, port(Direction::read, 0, none));
    BOOST_TEST(history[0].count == 0u);
    BOOST_TEST(history[0].valid == 0);
}
