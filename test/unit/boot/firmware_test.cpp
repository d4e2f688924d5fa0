#include "boot/apply.hpp"
#include "boot/formats.hpp"
#include "throws.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/guest_memory.hpp>

#include <boost/test/unit_test.hpp>

using namespace asyncvm;
using namespace asyncvm::boot;
using asyncvm::test::contains;
using asyncvm::test::message_of;

namespace {

/// Each byte is the number of its 4 KiB page.
Request firmware_of(std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t at = 0; at < size; ++at) bytes[at] = static_cast<std::byte>(at >> 12);
    Request request;
    request.kernel = memory_image("bios.bin", std::move(bytes));
    return request;
}

unsigned byte_at(const GuestMemory& memory, std::uint64_t address) {
    const auto bytes = memory.try_at(address, 1);
    BOOST_REQUIRE_MESSAGE(!bytes.empty(), "there is no memory at " << address);
    return std::to_integer<unsigned>(bytes[0]);
}

}  // namespace

BOOST_AUTO_TEST_CASE(firmware_ends_at_4_gib_and_at_1_mib) {
    for (const std::size_t size : {64 << 10, 128 << 10, 256 << 10}) {
        GuestMemory memory(1 << 20);
        static_cast<void>(apply(plan_firmware(firmware_of(size)), memory));
        const auto last = static_cast<unsigned>((size >> 12) - 1);
        BOOST_TEST(byte_at(memory, 0xffff'ffff) == last);
        BOOST_TEST(byte_at(memory, 0x1'0000'0000 - size + 0x1000) == 1u);
        BOOST_TEST(memory.try_at(0x1'0000'0000 - size - 1, 1).empty());
        BOOST_TEST(byte_at(memory, 0xf'ffff) == last);
        BOOST_TEST(byte_at(memory, 0xf'0000) == last - 15);
        BOOST_TEST(byte_at(memory, 0xe'0000) == (size > 64 << 10 ? last - 31 : 0));
        BOOST_TEST(byte_at(memory, 0xd'ffff) == (size > 128 << 10 ? last - 32 : 0));
        BOOST_TEST(byte_at(memory, 0xc'1000) == (size > 128 << 10 ? 1u : 0u));
        BOOST_TEST(byte_at(memory, 0xb'ffff) == 0u);
    }
}

BOOST_AUTO_TEST_CASE(firmware_starts_as_a_processor_does_after_a_reset) {
    GuestMemory memory(1 << 20);
    const auto registers = apply(plan_firmware(firmware_of(64 << 10)), memory);
    BOOST_TEST(registers.rip == 0xfff0u);
    BOOST_TEST(registers.cs.selector == 0xf000u);
    BOOST_TEST(registers.cs.base == 0xffff'0000u);
    BOOST_TEST(registers.cs.limit == 0xffffu);
    BOOST_TEST(registers.ss.base == 0u);
    BOOST_TEST(registers.idt.limit == 0xffffu);
    BOOST_TEST(registers.cr0 == 0x6000'0010u);
    BOOST_TEST(registers.rflags == 2u);
    BOOST_TEST(registers.rsp == 0u);
}

BOOST_AUTO_TEST_CASE(firmware_is_put_back_by_the_next_load) {
    GuestMemory memory(1 << 20);
    const auto plan = plan_firmware(firmware_of(64 << 10));
    static_cast<void>(apply(plan, memory));
    memory.clear();
    BOOST_TEST(byte_at(memory, 0xffff'ffff) == 0u);
    static_cast<void>(apply(plan, memory));
    BOOST_TEST(byte_at(memory, 0xffff'ffff) == 15u);
    BOOST_TEST(byte_at(memory, 0xf'ffff) == 15u);
}

BOOST_AUTO_TEST_CASE(firmware_of_another_size_is_refused_with_the_limits) {
    for (const std::size_t size : {std::size_t{60 << 10}, std::size_t{(64 << 10) + 512}, std::size_t{260 << 10}}) {
        const auto message =
            message_of(ErrorKind::guest_image, [&] { static_cast<void>(plan_firmware(firmware_of(size))); });
        BOOST_TEST(contains(message, "firmware has 64 to 256 KiB, a multiple of 4 KiB"), message);
    }
}
