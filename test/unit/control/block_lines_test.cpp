// The human monitor's lines about disks.
#define BOOST_TEST_MODULE control
#include "control/block_lines.hpp"

#include <boost/test/unit_test.hpp>

#include <optional>
#include <string>
#include <string_view>

using namespace asyncvm::control;

BOOST_AUTO_TEST_SUITE(block_lines)

namespace {

std::string change(std::string_view line) {
    try {
        return to_text(change_arguments(words_of(line)));
    } catch (const HumanError& error) {
        return error.what();
    }
}

std::string resize(std::string_view line) {
    try {
        return to_text(resize_arguments(words_of(line)));
    } catch (const HumanError& error) {
        return error.what();
    }
}

}  // namespace

// As QEMU 7.2 takes them.
BOOST_AUTO_TEST_CASE(a_size_without_a_unit_is_in_mebibytes) {
    constexpr std::uint64_t mebi = 1 << 20;
    BOOST_TEST(parse_human_size("3").value() == 3 * mebi);
    BOOST_TEST(parse_human_size("3M").value() == 3 * mebi);
    BOOST_TEST(parse_human_size("1.5m").value() == 3 * mebi / 2);
    BOOST_TEST(parse_human_size("2g").value() == 2048 * mebi);
    BOOST_TEST(parse_human_size("1T").value() == mebi * mebi);
    BOOST_TEST(parse_human_size("512b").value() == 512u);
    BOOST_TEST(parse_human_size("4K").value() == 4096u);
    BOOST_TEST(parse_human_size("0").value() == 0u);
    for (const char* const wrong : {"", "x", "-5", "5MM", "5 M", "1e3", "M", ".", "inf", "nan", "99999999999E", "5q"}) {
        BOOST_TEST(!parse_human_size(wrong).has_value(), wrong);
    }
}

BOOST_AUTO_TEST_CASE(lines_become_arguments_or_say_what_is_missing) {
    BOOST_TEST(resize("block_resize disk0 1G") == R"({"device":"disk0","size":1073741824})");
    BOOST_TEST(resize("  block_resize   disk0  512b ") == R"({"device":"disk0","size":512})");
    BOOST_TEST(resize("block_resize") == "block_resize: block device name expected");
    BOOST_TEST(resize("block_resize disk0") == "invalid size");
    BOOST_TEST(resize("block_resize disk0 x") == "invalid size");
    BOOST_TEST(resize("block_resize disk0 1 2") == "invalid size");
    BOOST_TEST(change("change disk0 a.img") == R"({"device":"disk0","filename":"a.img"})");
    BOOST_TEST(change("change disk0 -f a.img raw retain") ==
               R"({"device":"disk0","filename":"a.img","format":"raw","read-only-mode":"retain","force":true})");
    BOOST_TEST(change("change") == "change: block device name expected");
    BOOST_TEST(change("change disk0") == "change: filename expected");
    BOOST_TEST(change("change disk0 -f") == "change: filename expected");
    BOOST_TEST(change("change disk0 a raw retain more") == "change: extraneous characters at the end of line");
}

BOOST_AUTO_TEST_SUITE_END()
