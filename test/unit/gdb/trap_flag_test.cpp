#include "gdb/trap_flag.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <initializer_list>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::gdb;

namespace {

std::vector<std::byte> bytes(std::initializer_list<int> values) {
    std::vector<std::byte> all;
    for (const int value : values) all.push_back(static_cast<std::byte>(value));
    return all;
}

/// What the guest finds where the flags 0x302 were stored, after a step over `code` in real mode at 1000:0000.
int second_byte_after(std::initializer_list<int> code) {
    GuestMemory memory(1 << 20);
    memory.write(0x10000, bytes(code));
    memory.write(0x27ffe, bytes({0x02, 0x03}));
    Registers before;
    before.cs = {.selector = 0x1000, .base = 0x10000};
    before.ss = {.selector = 0x2000, .base = 0x20000};
    before.rsp = 0x8000;
    Registers after = before;
    after.rip = code.size();
    after.rsp = 0x7ffe;
    hide_trap_flag(memory, before, after);
    return std::to_integer<int>(memory.try_at(0x27fff, 1)[0]);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gdb_trap_flag)

BOOST_AUTO_TEST_CASE(which_instruction_pushes_the_flags) {
    BOOST_TEST(pushes_flags(bytes({0x9c}), false));
    BOOST_TEST(pushes_flags(bytes({0x66, 0x9c}), false));
    BOOST_TEST(pushes_flags(bytes({0x66, 0x48, 0x9c}), true));
    BOOST_TEST(!pushes_flags(bytes({0x48, 0x9c}), false));  // dec eax
    BOOST_TEST(!pushes_flags(bytes({0x9d, 0x9c}), true));
    BOOST_TEST(!pushes_flags(bytes({0x66, 0x66}), true));
    BOOST_TEST(!pushes_flags({}, true));
}

BOOST_AUTO_TEST_CASE(the_flag_is_hidden_where_it_was_stored) {
    BOOST_TEST(second_byte_after({0x9c}) == 2);
    BOOST_TEST(second_byte_after({0x66, 0x9c}) == 2);
    BOOST_TEST(second_byte_after({0x50}) == 3);
}

BOOST_AUTO_TEST_CASE(nothing_happens_where_there_is_no_memory) {
    GuestMemory memory(1 << 20);
    Registers registers;
    registers.cs = {.base = 0xffff'0000};
    hide_trap_flag(memory, registers, registers);
    registers.cs = {};
    memory.write(0, bytes({0x9c}));
    registers.ss = {.base = 0xffff'0000};
    hide_trap_flag(memory, registers, registers);
}

BOOST_AUTO_TEST_SUITE_END()
