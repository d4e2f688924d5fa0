// A stream of JSON values is cut into its values.
#include <control/json.hpp>
#include <control/json_stream.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <vector>

using namespace asyncvm::control;

namespace {

/// Every value, or the error in its place.
std::vector<std::string> cut(std::string_view bytes, std::size_t piece = 1 << 20) {
    JsonStream stream;
    std::vector<std::string> values;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        stream.feed(bytes.substr(at, piece));
        while (const auto value = stream.next())
            values.push_back(value->error.empty() ? value->text : std::string(value->error));
    }
    return values;
}

void check(std::string_view bytes, const std::vector<std::string>& expected) {
    for (const std::size_t piece : {1, 2, 3, 1000}) {
        const auto values = cut(bytes, piece);
        BOOST_TEST(values == expected, boost::test_tools::per_element());
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(json_stream)

BOOST_AUTO_TEST_CASE(values_need_nothing_between_them) {
    check(R"({"a":1}{"b":[2,{}]}[3]"x" )", {R"({"a":1})", R"({"b":[2,{}]})", "[3]", R"("x")"});
    check("\r\n {}\r\n\t{}", {"{}", "{}"});
}

BOOST_AUTO_TEST_CASE(a_number_or_a_word_ends_where_something_else_begins) {
    check("5 true{}nope[1]7", {"5", "true", "{}", "nope", "[1]"});
}

BOOST_AUTO_TEST_CASE(brackets_in_strings_do_not_count) { check(R"({"a":"}]\"}"}{})", {R"({"a":"}]\"}"})", "{}"}); }

BOOST_AUTO_TEST_CASE(strings_may_stand_in_single_quotes) {
    check(R"({'a':'it\'s "x"'}{})", {R"({"a":"it's \"x\""})", "{}"});
    check(R"('\\')", {R"("\\")"});
}

BOOST_AUTO_TEST_CASE(what_closes_nothing_is_a_value_of_its_own) { check("}]{}", {"}", "]", "{}"}); }

BOOST_AUTO_TEST_CASE(a_value_that_is_not_whole_is_waited_for) {
    JsonStream stream;
    stream.feed(R"({"a":)");
    BOOST_TEST(!stream.next());
    stream.feed("1}");
    BOOST_TEST(stream.next()->text == R"({"a":1})");
    BOOST_TEST(!stream.next());
}

BOOST_AUTO_TEST_CASE(depth_and_length_have_limits_and_what_follows_is_read_again) {
    const auto deep = cut(std::string(JsonStream::deepest, '[') + std::string(JsonStream::deepest, ']') + "{}");
    BOOST_TEST(deep.size() == 2u);
    const auto too_deep = cut(std::string(JsonStream::deepest + 1, '[') + "{}");
    BOOST_TEST(too_deep == (std::vector<std::string>{"JSON nesting depth limit exceeded", "{}"}),
               boost::test_tools::per_element());
    const auto too_long = cut(std::string(JsonStream::longest + 10, '1') + " {}");
    BOOST_TEST(too_long.size() >= 2u);
    BOOST_TEST(too_long.front() == "JSON token size limit exceeded");
    BOOST_TEST(too_long.back() == "{}");
}

BOOST_AUTO_TEST_CASE(whatever_comes_each_cut_gives_the_same_values) {
    std::mt19937 random(20261129);
    constexpr std::string_view alphabet = "{}[]\"'\\,: \n01truex\xff";
    for (int round = 0; round < 2000; ++round) {
        std::string bytes(random() % 60, ' ');
        for (char& c : bytes) c = alphabet[random() % alphabet.size()];
        const auto whole = cut(bytes);
        BOOST_TEST(cut(bytes, 1) == whole, boost::test_tools::per_element());
        BOOST_TEST(cut(bytes, 7) == whole, boost::test_tools::per_element());
        // A parser takes or refuses each of them; neither crashes.
        for (const auto& value : whole) {
            const auto parsed = Json::parse(value, nullptr, false);
            BOOST_TEST((parsed.is_discarded() || !parsed.dump(-1, ' ', true, Json::error_handler_t::replace).empty()));
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
