#include "report/text_screen.hpp"

#include "crash_fixture.hpp"

#include <boost/test/unit_test.hpp>

#include <random>
#include <string_view>

using namespace asyncvm;
using asyncvm::test::MadeUpDeath;

namespace {

/// Memory with a text screen, on which kernels write.
struct Screen {
    void print(unsigned row, unsigned column, std::string_view text, std::uint8_t colour = 0x07) {
        auto at = text_screen_address + 2 * (row * 80 + column);
        for (const char character : text) {
            const std::array cell{static_cast<std::byte>(character), std::byte{colour}};
            BOOST_REQUIRE(memory.write(at, cell) == cell.size());
            at += cell.size();
        }
    }
    [[nodiscard]] std::string read() const { return read_text_screen(memory); }

    GuestMemory memory{1 << 20};
};

}  // namespace

BOOST_AUTO_TEST_SUITE(text_screen)

BOOST_AUTO_TEST_CASE(the_lines_of_a_kernel_are_shown_up_to_the_last) {
    Screen screen;
    screen.print(0, 0, "Booting");
    screen.print(2, 4, "panic: no init");
    screen.print(3, 0, "      ");
    BOOST_TEST(screen.read() == "  | Booting\n  |\n  |     panic: no init\n");
    screen.print(24, 77, "end");
    BOOST_TEST(screen.read().ends_with("  |\n  | " + std::string(77, ' ') + "end\n"));
}

BOOST_AUTO_TEST_CASE(a_screen_that_a_bios_has_cleared_is_blank) {
    Screen screen;
    BOOST_TEST(screen.read().empty());
    for (unsigned row = 0; row < 25; ++row) screen.print(row, 0, std::string(80, ' '));
    BOOST_TEST(screen.read().empty());
}

BOOST_AUTO_TEST_CASE(frames_and_accents_do_not_reach_the_terminal) {
    Screen screen;
    screen.print(0, 0, "\xc9 caf\x82 \xbb", 0x1f);
    BOOST_TEST(screen.read() == "  | ? caf? ?\n");
}

BOOST_AUTO_TEST_CASE(what_is_no_text_is_not_shown) {
    Screen control;
    control.print(0, 0, "text\x1b[2J");
    BOOST_TEST(control.read().empty());
    Screen colourless;
    colourless.print(0, 0, "text", 0);
    BOOST_TEST(colourless.read().empty());
    Screen wordless;
    wordless.print(0, 0, "ab 12 .. cd");
    BOOST_TEST(wordless.read().empty());
    std::mt19937 random(1);  // NOLINT: the same bytes each time
    Screen code;
    for (auto& byte : code.memory.try_at(text_screen_address, 4000)) byte = static_cast<std::byte>(random());
    BOOST_TEST(code.read().empty());
}

BOOST_AUTO_TEST_CASE(a_guest_without_memory_there_has_no_screen) {
    BOOST_TEST(read_text_screen(GuestMemory(512 << 10)).empty());
}

BOOST_AUTO_TEST_CASE(a_report_has_the_screen) {
    MadeUpDeath guest(Mode::protected32);
    BOOST_TEST(format_report(guest.crash()).find("text screen") == std::string::npos);
    for (const auto& [at, character] : {std::pair{0U, 'd'}, {2U, 'e'}, {4U, 'a'}, {6U, 'd'}}) {
        const std::array cell{static_cast<std::byte>(character), std::byte{0x0c}};
        BOOST_REQUIRE(guest.memory.write(text_screen_address + at, cell) == cell.size());
    }
    BOOST_TEST(format_report(guest.crash()).find("text screen (0xb8000):\n  | dead\n") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
