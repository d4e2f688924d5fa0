#define BOOST_TEST_MODULE bios
#include "bios/services.hpp"
#include "call.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstring>
#include <span>
#include <string>

using namespace asyncvm;
using asyncvm::bios::Answer;
using asyncvm::bios::Services;
using asyncvm::boot::BiosFrame;
using asyncvm::test::Call;
using asyncvm::test::carry;
using asyncvm::test::status;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t mib = 1 << 20;

struct Fixture {
    Answer call(BiosFrame& frame) { return services.call(frame, memory, time); }
    std::string print(const Call& call) {
        auto frame = call.frame();
        return services.call(frame, memory, time).output;
    }
    std::string type(std::string_view text) {
        std::string output;
        for (const char c : text) output += print({.vector = 0x10, .eax = 0x0e00U | static_cast<std::uint8_t>(c)});
        return output;
    }

    GuestMemory memory{2 * mib};
    Services services{
        bios::Disk(nullptr),
        {{0, 0x9fc00, MemoryKind::ram}, {0x9fc00, 0x60400, MemoryKind::reserved}, {mib, 31 * mib, MemoryKind::ram}}};
    std::chrono::system_clock::time_point time =
        std::chrono::sys_days(std::chrono::year(2026) / 11 / 28) + 13h + 37min + 42s;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(teletype_output_goes_out_as_it_is, Fixture) { BOOST_TEST(type("Hi\r\nyou\b\a") == "Hi\r\nyou\b\a"); }

BOOST_FIXTURE_TEST_CASE(the_cursor_follows_what_is_written, Fixture) {
    static_cast<void>(type("Hi\r\nyou"));
    auto frame = Call{.vector = 0x10, .eax = 0x0300}.frame();
    static_cast<void>(call(frame));
    BOOST_TEST(frame.edx == 0x0103u);
    BOOST_TEST(frame.ecx == 0x0607u);
    static_cast<void>(type("\b" + std::string(78, 'x') + "\a"));
    static_cast<void>(call(frame));
    BOOST_TEST(frame.edx == 0x0200u);
    static_cast<void>(type(std::string(30, '\n')));
    static_cast<void>(call(frame));
    BOOST_TEST(frame.edx == 0x1800u);
}

BOOST_FIXTURE_TEST_CASE(only_a_cursor_that_was_moved_gives_control_sequences, Fixture) {
    BOOST_TEST(print({.vector = 0x10, .eax = 0x0200, .edx = 0}) == "");
    BOOST_TEST(type("a") == "a");
    BOOST_TEST(print({.vector = 0x10, .eax = 0x0200, .edx = 0x0509}) == "");
    BOOST_TEST(type("b") == "\x1b[6;10Hb");
    BOOST_TEST(type("c") == "c");
    // Out of the screen: its edge.
    BOOST_TEST(print({.vector = 0x10, .eax = 0x0200, .edx = 0xffff}) == "");
    BOOST_TEST(type("d") == "\x1b[25;80Hd");
}

BOOST_FIXTURE_TEST_CASE(characters_that_do_not_move_the_cursor_can_be_followed_by_a_move, Fixture) {
    BOOST_TEST(print({.vector = 0x10, .eax = 0x0941, .ecx = 3}) == "AAA");
    BOOST_TEST(print({.vector = 0x10, .eax = 0x0200, .edx = 0x0003}) == "");
    BOOST_TEST(type("B") == "B");
    BOOST_TEST(print({.vector = 0x10, .eax = 0x0a43, .ecx = 1}) == "C");
    BOOST_TEST(type("D") == "\x1b[1;5HD");
    BOOST_TEST(print({.vector = 0x10, .eax = 0x0941, .ecx = 0xffff}).size() < 3000u);
}

BOOST_FIXTURE_TEST_CASE(a_string_is_written_with_and_without_attributes, Fixture) {
    const std::string text = "h1i2!3";
    memory.write(0x12345, std::as_bytes(std::span(text)));
    const Call plain{.vector = 0x10, .eax = 0x1301, .ecx = 6, .ebp = 0x2345, .es = 0x1000};
    BOOST_TEST(print(plain) == "h1i2!3");
    BOOST_TEST(print({.vector = 0x10, .eax = 0x1303, .ecx = 3, .edx = 6, .ebp = 0x2345, .es = 0x1000}) == "hi!");
    // Without bit 0 the cursor stays where it was.
    BOOST_TEST(print({.vector = 0x10, .eax = 0x1300, .ecx = 1, .edx = 9, .ebp = 0x2345, .es = 0x1000}) == "h");
    auto frame = Call{.vector = 0x10, .eax = 0x0300}.frame();
    static_cast<void>(call(frame));
    BOOST_TEST(frame.edx == 9u);
}

BOOST_FIXTURE_TEST_CASE(the_screen_is_cleared_when_something_is_on_it, Fixture) {
    BOOST_TEST(print({.vector = 0x10, .eax = 0x0003}) == "");
    static_cast<void>(type("a"));
    BOOST_TEST(print({.vector = 0x10, .eax = 0x0003}) == "\x1b[2J\x1b[H");
    BOOST_TEST(print({.vector = 0x10, .eax = 0x0600}) == "\x1b[2J\x1b[H");
    auto mode = Call{.vector = 0x10, .eax = 0x0f00}.frame();
    static_cast<void>(call(mode));
    BOOST_TEST(mode.eax == 0x5003u);
    auto vesa = Call{.vector = 0x10, .eax = 0x4f00}.frame();
    static_cast<void>(call(vesa));
    BOOST_TEST(vesa.eax == 0x0100u);
}

BOOST_FIXTURE_TEST_CASE(a_key_is_waited_for_and_then_taken, Fixture) {
    auto frame = Call{.vector = 0x16, .eax = 0x0100}.frame();
    static_cast<void>(call(frame));
    BOOST_TEST((frame.flags & 0x40) != 0);  // none
    frame = Call{.vector = 0x16}.frame();
    BOOST_TEST(call(frame).wants_key);
    services.press('a');
    BOOST_TEST(services.has_key());
    auto look = Call{.vector = 0x16, .eax = 0x1100}.frame();
    static_cast<void>(call(look));
    BOOST_TEST((look.flags & 0x40) == 0);
    BOOST_TEST(look.eax == 0x1e61u);
    BOOST_TEST(!call(frame).wants_key);
    BOOST_TEST(frame.eax == 0x1e61u);
    BOOST_TEST(!services.has_key());
}

BOOST_FIXTURE_TEST_CASE(keys_are_those_of_a_us_keyboard, Fixture) {
    const std::pair<char, unsigned> keys[] = {{'1', 0x0231},    {'Q', 0x1051},  {'z', 0x2c7a},  {'~', 0x297e},
                                              {' ', 0x3920},    {'\r', 0x1c0d}, {'\n', 0x1c0d}, {'\x7f', 0x0e08},
                                              {'\x1b', 0x011b}, {'?', 0x353f}};
    for (const auto& [character, expected] : keys) {
        services.press(static_cast<std::uint8_t>(character));
        auto frame = Call{.vector = 0x16}.frame();
        static_cast<void>(call(frame));
        BOOST_TEST(frame.eax == expected, "key " << static_cast<int>(character) << ": " << frame.eax);
    }
}

BOOST_FIXTURE_TEST_CASE(the_memory_map_comes_range_by_range, Fixture) {
    auto frame = Call{.vector = 0x15, .eax = 0xe820, .ebx = 1, .ecx = 24, .edx = 0x534d4150, .edi = 0x500}.frame();
    static_cast<void>(call(frame));
    BOOST_TEST(!carry(frame));
    BOOST_TEST(frame.eax == 0x534d4150u);
    BOOST_TEST(frame.ebx == 2u);
    BOOST_TEST(frame.ecx == 20u);
    BOOST_TEST(memory.load_acquire<std::uint32_t>(0x500).value() == 0x9fc00u);
    BOOST_TEST(memory.load_acquire<std::uint32_t>(0x508).value() == 0x60400u);
    BOOST_TEST(memory.load_acquire<std::uint32_t>(0x510).value() == 2u);
    frame.eax = 0xe820, frame.edx = 0x534d4150;
    static_cast<void>(call(frame));
    BOOST_TEST(frame.ebx == 0u);  // the last one
    auto wrong = Call{.vector = 0x15, .eax = 0xe820, .ebx = 3, .ecx = 20, .edx = 0x534d4150}.frame();
    static_cast<void>(call(wrong));
    BOOST_TEST(carry(wrong));
    BOOST_TEST(status(wrong) == 0x86u);
    wrong = Call{.vector = 0x15, .eax = 0xe820, .ecx = 20, .edx = 1}.frame();
    static_cast<void>(call(wrong));
    BOOST_TEST(carry(wrong));
    wrong =
        Call{.vector = 0x15, .eax = 0xe820, .ecx = 19, .edx = 0x534d4150, .edi = 0x600}.frame();  // too small for a range
    static_cast<void>(call(wrong));
    BOOST_TEST(carry(wrong));
    BOOST_TEST(memory.load_acquire<std::uint32_t>(0x610).value() == 0u);
}

BOOST_FIXTURE_TEST_CASE(older_calls_tell_the_memory_too, Fixture) {
    auto frame = Call{.vector = 0x15, .eax = 0xe801}.frame();
    static_cast<void>(call(frame));
    BOOST_TEST(frame.eax == 15u * 1024);
    BOOST_TEST(frame.ebx == 16u * 16);
    BOOST_TEST(frame.ecx == frame.eax);
    BOOST_TEST(frame.edx == frame.ebx);
    frame = Call{.vector = 0x15, .eax = 0x8800}.frame();
    static_cast<void>(call(frame));
    BOOST_TEST(frame.eax == 31u * 1024);
    const std::uint16_t kib = 639, equipment = 0x21;
    memory.write(0x413, std::as_bytes(std::span(&kib, 1)));
    memory.write(0x410, std::as_bytes(std::span(&equipment, 1)));
    frame = Call{.vector = 0x12, .eax = 0xdead0000}.frame();
    static_cast<void>(call(frame));
    BOOST_TEST(frame.eax == 0xdead0000u + 639);
    frame = Call{.vector = 0x11}.frame();
    static_cast<void>(call(frame));
    BOOST_TEST(frame.eax == 0x21u);
}

BOOST_FIXTURE_TEST_CASE(a20_is_always_on, Fixture) {
    auto frame = Call{.vector = 0x15, .eax = 0x2402}.frame();
    static_cast<void>(call(frame));
    BOOST_TEST(frame.eax == 0x0001u);
    frame = Call{.vector = 0x15, .eax = 0x2401}.frame();
    static_cast<void>(call(frame));
    BOOST_TEST(!carry(frame));
    frame = Call{.vector = 0x15, .eax = 0x2400}.frame();
    static_cast<void>(call(frame));
    BOOST_TEST(carry(frame));
}

BOOST_FIXTURE_TEST_CASE(a_block_is_moved_beyond_1_mib, Fixture) {
    const std::string text = "moved";
    memory.write(0x8000, std::as_bytes(std::span(text)));
    std::array<unsigned char, 0x30> table{};
    table[0x12] = 0x00, table[0x13] = 0x80;  // from 0x8000
    table[0x1a] = 0x10, table[0x1c] = 0x10;  // to 0x100010
    memory.write(0x9000, std::as_bytes(std::span(table)));
    auto frame = Call{.vector = 0x15, .eax = 0x8700, .ecx = 3, .esi = 0x9000}.frame();
    static_cast<void>(call(frame));
    BOOST_TEST(!carry(frame));
    std::string moved(6, '?');
    memory.read(0x100010, std::as_writable_bytes(std::span(moved)));
    BOOST_TEST(moved == std::string("moved\0", 6));
    table[0x1f] = 0x80;  // 2 GiB: no memory
    memory.write(0x9000, std::as_bytes(std::span(table)));
    static_cast<void>(call(frame));
    BOOST_TEST(carry(frame));
}

BOOST_FIXTURE_TEST_CASE(a_wait_and_a_restart_are_the_callers_to_do, Fixture) {
    auto frame = Call{.vector = 0x15, .eax = 0x8600, .ecx = 1, .edx = 2}.frame();
    BOOST_TEST((call(frame).pause == 65538us));
    BOOST_TEST(!carry(frame));
    frame = Call{.vector = 0x19}.frame();
    BOOST_TEST(call(frame).resets);
    frame = Call{.vector = 0x15, .eax = 0xc000}.frame();
    BOOST_TEST(!call(frame).resets);
    BOOST_TEST(carry(frame));
    BOOST_TEST(status(frame) == 0x86u);
}

BOOST_FIXTURE_TEST_CASE(time_and_date_are_the_machines, Fixture) {
    auto frame = Call{.vector = 0x1a, .eax = 0x0200}.frame();
    static_cast<void>(call(frame));
    BOOST_TEST(frame.ecx == 0x1337u);
    BOOST_TEST(frame.edx == 0x4200u);
    frame = Call{.vector = 0x1a, .eax = 0x0400}.frame();
    static_cast<void>(call(frame));
    BOOST_TEST(frame.ecx == 0x2026u);
    BOOST_TEST(frame.edx == 0x1128u);
    frame = Call{.vector = 0x1a}.frame();
    static_cast<void>(call(frame));
    // 49,062 s at 18.2065 Hz
    const std::uint32_t ticks = frame.ecx << 16 | frame.edx;
    BOOST_TEST(ticks == 49062ULL * 1573040 / 86400);
    BOOST_TEST(memory.load_acquire<std::uint32_t>(0x46c).value() == ticks);
}

BOOST_FIXTURE_TEST_CASE(no_call_harms_anything, Fixture) {
    std::uint32_t state = 1;
    const auto random = [&state] { return state = state * 1664525 + 1013904223; };
    for (int i = 0; i < 20'000; ++i) {
        auto frame = Call{.vector = static_cast<std::uint16_t>(0x10 + random() / 65536 % 12),
                          .eax = random() >> 8,
                          .ebx = random(),
                          .ecx = random() & 0xff,
                          .edx = random(),
                          .esi = random(),
                          .edi = random(),
                          .ebp = random(),
                          .es = static_cast<std::uint16_t>(random()),
                          .ds = static_cast<std::uint16_t>(random())}
                         .frame();
        static_cast<void>(call(frame));
    }
}
