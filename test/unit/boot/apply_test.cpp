#include "boot/apply.hpp"

#include "throws.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>

using namespace asyncvm;
using namespace asyncvm::boot;
using asyncvm::test::contains;
using asyncvm::test::message_of;

namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

std::string memory_text(const GuestMemory& memory, std::uint64_t address, std::size_t size) {
    std::string text(size, '?');
    memory.read(address, std::as_writable_bytes(std::span(text)));
    return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(pieces_are_placed_with_zeros_behind_them_also_in_used_memory) {
    GuestMemory memory(1 << 20);
    std::ranges::fill(memory.try_at(0, 1 << 20), std::byte{'x'});
    Plan plan;
    plan.entry = {.mode = Mode::protected32, .rip = 0x8000, .rax = 1, .rbx = 2, .rdx = 5, .rsi = 3, .rsp = 0x7000};
    plan.pieces.push_back({.name = "kernel",
                           .address = 0x8000,
                           .size = 6,
                           .image = memory_image("kernel", bytes_of("abcdefgh")),
                           .offset = 2,
                           .file_size = 4});
    plan.pieces.push_back({.name = "table", .address = 0x8006, .size = 0x3000, .bytes = bytes_of("table")});
    const Registers registers = apply(plan, memory);
    BOOST_TEST(memory_text(memory, 0x7fff, 14) == std::string("xcdef\0\0table\0\0", 14));
    BOOST_TEST(memory_text(memory, 0xb005, 2) == std::string("\0x", 2));
    BOOST_TEST(registers.rip == 0x8000u);
    BOOST_TEST(registers.rax == 1u);
    BOOST_TEST(registers.rbx == 2u);
    BOOST_TEST(registers.rdx == 5u);
    BOOST_TEST(registers.rsi == 3u);
    BOOST_TEST(registers.rsp == 0x7000u);
    BOOST_TEST(registers.cs.selector == 8u);
}

BOOST_AUTO_TEST_CASE(the_selectors_of_linux_are_in_the_gdt_as_well) {
    for (const Mode mode : {Mode::protected32, Mode::long64}) {
        GuestMemory memory(1 << 20);
        Plan plan;
        plan.entry.mode = mode;
        plan.entry.linux_selectors = true;
        const Registers registers = apply(plan, memory);
        BOOST_TEST(registers.cs.selector == 0x10u);
        BOOST_TEST(registers.ds.selector == 0x18u);
        std::uint64_t gdt[4];
        memory.read(registers.gdt.base, std::as_writable_bytes(std::span(gdt)));
        BOOST_TEST(gdt[2] == (mode == Mode::long64 ? 0x00af'9b00'0000'ffffu : 0x00cf'9b00'0000'ffffu));
        BOOST_TEST(gdt[3] == 0x00cf'9300'0000'ffffu);
    }
}

BOOST_AUTO_TEST_CASE(a_plan_that_does_not_fit_is_refused_before_anything_is_written) {
    GuestMemory memory(1 << 20);
    Plan plan;
    plan.pieces.push_back({.name = "kernel", .address = 0x8000, .size = 4, .bytes = bytes_of("abcd")});
    plan.pieces.push_back({.name = "initrd", .address = 0x8003, .size = 4, .bytes = bytes_of("efgh")});
    BOOST_TEST(message_of(ErrorKind::guest_image, [&] { static_cast<void>(apply(plan, memory)); }) ==
               "kernel and initrd overlap at 0x8003");
    plan.pieces[1].address = 0xffffd;
    BOOST_TEST(contains(message_of(ErrorKind::guest_image, [&] { static_cast<void>(apply(plan, memory)); }),
                        "initrd needs 4 bytes at 0xffffd, where the guest has no memory"));
    BOOST_TEST(memory_text(memory, 0x8000, 4) == std::string(4, '\0'));
}

BOOST_AUTO_TEST_CASE(a_file_that_has_become_shorter_is_an_error_and_no_crash) {
    GuestMemory memory(1 << 20);
    Plan plan;
    plan.pieces.push_back(
        {.name = "kernel", .address = 0, .size = 9, .image = memory_image("vmlinuz", bytes_of("abcd")), .file_size = 9});
    BOOST_TEST(message_of(ErrorKind::guest_image, [&] { static_cast<void>(apply(plan, memory)); }) ==
               "cannot read vmlinuz: it ends after 4 bytes");
}
