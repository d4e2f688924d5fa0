#define BOOST_TEST_MODULE text
#include "text/parse.hpp"

#include "text/errno_text.hpp"

#include <boost/test/unit_test.hpp>

#include <cerrno>
#include <string>
#include <string_view>

using namespace asyncvm;

BOOST_AUTO_TEST_CASE(numbers_come_in_four_bases) {
    BOOST_TEST((parse_number("0") == 0u));
    BOOST_TEST((parse_number("42") == 42u));
    BOOST_TEST((parse_number("0x2A") == 42u));
    BOOST_TEST((parse_number("0X2a") == 42u));
    BOOST_TEST((parse_number("0b101010") == 42u));
    BOOST_TEST((parse_number("0o52") == 42u));
    BOOST_TEST((parse_number("010") == 10u));
    BOOST_TEST((parse_number("18446744073709551615") == ~std::uint64_t{0}));
    for (const char* const wrong : {"", "0x", "x", "-1", "+1", " 1", "1 ", "1.5", "0b2", "0o8", "0x1g",
                                    "18446744073709551616", "0x10000000000000000", "0x-1", "1_000"}) {
        BOOST_TEST(!parse_number(wrong), wrong);
    }
}

BOOST_AUTO_TEST_CASE(a_unit_is_taken_off_the_end_and_is_a_power_of_1024) {
    const auto taken = [](std::string_view text) {
        const unsigned power = take_unit(text);
        return std::to_string(power) + ' ' + std::string(text);
    };
    BOOST_TEST(taken("64K") == "10 64");
    BOOST_TEST(taken("64k") == "10 64");
    BOOST_TEST(taken("1M") == "20 1");
    BOOST_TEST(taken("2g") == "30 2");
    BOOST_TEST(taken("2T") == "0 2T");
    BOOST_TEST(taken("1KK") == "10 1K");
    BOOST_TEST(taken("42") == "0 42");
    BOOST_TEST(taken("") == "0 ");
}

BOOST_AUTO_TEST_CASE(single_commas_separate_and_doubled_ones_are_commas) {
    const auto joined = [](std::string_view text) {
        std::string all;
        for (const auto& part : split_at_commas(text)) all += '[' + part + ']';
        return all;
    };
    BOOST_TEST(joined("") == "[]");
    BOOST_TEST(joined("a,b") == "[a][b]");
    BOOST_TEST(joined("a,,b,c") == "[a,b][c]");
    BOOST_TEST(joined(",") == "[][]");
    BOOST_TEST(joined(",,,") == "[,][]");
    BOOST_TEST(joined("a,") == "[a][]");
}

BOOST_AUTO_TEST_CASE(errors_of_the_system_begin_with_a_small_letter_unless_they_begin_with_an_acronym) {
    BOOST_TEST(reason(ENOENT) == "no such file or directory");
    BOOST_TEST(reason(EADDRINUSE) == "address already in use");
    BOOST_TEST(reason(EDOTDOT) == "RFS specific error");
}
