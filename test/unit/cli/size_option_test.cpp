#include "cli/option_values.hpp"

#include "throws.hpp"

#include <boost/test/unit_test.hpp>

#include <random>

using namespace asyncvm;
using namespace asyncvm::cli;
using asyncvm::test::contains;
using asyncvm::test::message_of;

namespace {

std::string size_error(std::string_view text) {
    return message_of(ErrorKind::usage, [&] { static_cast<void>(parse_size(text, "--memory")); });
}

std::string memory_error(std::uint64_t bytes) {
    return message_of(ErrorKind::usage, [&] { check_memory_size(bytes); });
}

}  // namespace

BOOST_AUTO_TEST_CASE(sizes_have_units_of_1024) {
    BOOST_TEST(parse_size("4096", "-x") == 4096u);
    BOOST_TEST(parse_size("64K", "-x") == 65536u);
    BOOST_TEST(parse_size("128M", "-x") == 128u << 20);
    BOOST_TEST(parse_size("2g", "-x") == std::uint64_t{2} << 30);
    BOOST_TEST(parse_size("0x10k", "-x") == 16u << 10);
    BOOST_TEST(parse_size("17179869183G", "-x") == 17179869183u << 30);
}

BOOST_AUTO_TEST_CASE(wrong_sizes_say_what_would_be_right) {
    BOOST_TEST(size_error("12Q") == "--memory 12Q: that is no size (examples: 64K, 128M, 2G, 0x100000)");
    for (const char* const wrong : {"", "K", "M", "1KK", "1.5G", "-1", "1 M", "128MB", "0xg"}) {
        BOOST_TEST(contains(size_error(wrong), "that is no size"), wrong);
    }
    BOOST_TEST(size_error("17179869184G") == "--memory 17179869184G: that is more than 64 bits can hold");
}

BOOST_AUTO_TEST_CASE(addresses_are_numbers_too) {
    BOOST_TEST(parse_address("0x10000", "--load") == 0x10000u);
    BOOST_TEST(parse_address("1M", "--load") == 1u << 20);
    BOOST_TEST(message_of(ErrorKind::usage, [] { static_cast<void>(parse_address("here", "--load")); }) ==
               "--load here: that is no address (examples: 0x10000, 65536, 1M)");
}

BOOST_AUTO_TEST_CASE(memory_sizes_have_limits_and_whole_pages) {
    BOOST_CHECK_NO_THROW(check_memory_size(64 << 10));
    BOOST_CHECK_NO_THROW(check_memory_size(std::uint64_t{512} << 30));
    BOOST_TEST(contains(memory_error((64 << 10) - 4096), "between 64K and 512G"));
    BOOST_TEST(contains(memory_error(0), "between 64K and 512G"));
    BOOST_TEST(contains(memory_error((std::uint64_t{512} << 30) + 4096), "between 64K and 512G"));
    BOOST_TEST(contains(memory_error(100'000), "multiple of 4096 (example: 128M; here 98304 would do)"));
}

BOOST_AUTO_TEST_CASE(garbage_is_refused_without_harm) {
    std::mt19937 random(1);
    const std::string letters = "0123456789abcdefxobKMGkmg-+. ";
    for (int i = 0; i < 20000; ++i) {
        std::string text(random() % 24, '?');
        for (char& c : text) c = letters[random() % letters.size()];
        try {
            static_cast<void>(parse_size(text, "-x"));
        } catch (const Error& error) {
            BOOST_REQUIRE((error.kind() == ErrorKind::usage));
        }
    }
}
