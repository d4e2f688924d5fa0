// A scraper's request.
#include <metrics/http_request.hpp>

#include <boost/test/unit_test.hpp>

#include <random>
#include <string>
#include <string_view>

using namespace asyncvm::metrics;

namespace {

constexpr std::string_view request =
    "GET /metrics HTTP/1.1\r\nHost: localhost:9100\r\nACCEPT:  text/plain;q=0.5 \r\nAccept: "
    "application/openmetrics-text\r\n\r\n";

}  // namespace

BOOST_AUTO_TEST_SUITE(http_request)

BOOST_AUTO_TEST_CASE(a_head_is_whole_at_its_empty_line_however_it_is_cut) {
    for (const std::size_t piece : {1, 7, 1000}) {
        RequestHead head;
        auto state = RequestHead::State::partial;
        for (std::size_t at = 0; at < request.size(); at += piece) {
            BOOST_TEST((state == RequestHead::State::partial));
            state = head.feed(request.substr(at, piece));
        }
        BOOST_TEST((state == RequestHead::State::whole));
        BOOST_TEST(head.method() == "GET");
        BOOST_TEST(head.target() == "/metrics");
        BOOST_TEST(head.is_http());
        BOOST_TEST(head.field("host") == "localhost:9100");
        BOOST_TEST(head.field("accept") == "text/plain;q=0.5,application/openmetrics-text");
        BOOST_TEST(head.field("cookie").empty());
    }
}

BOOST_AUTO_TEST_CASE(lines_may_end_with_lf_alone_as_people_type) {
    RequestHead head;
    BOOST_TEST((head.feed("GET / HTTP/1.0\n\n") == RequestHead::State::whole));
    BOOST_TEST(head.target() == "/");
}

BOOST_AUTO_TEST_CASE(what_is_no_request_has_no_words) {
    RequestHead head;
    BOOST_TEST((head.feed("hello\n\n") == RequestHead::State::whole));
    BOOST_TEST(!head.is_http());
    BOOST_TEST(head.target().empty());
}

BOOST_AUTO_TEST_CASE(a_head_without_an_end_is_too_long_at_some_time) {
    RequestHead head;
    BOOST_TEST((head.feed(std::string(RequestHead::longest, 'x')) == RequestHead::State::partial));
    BOOST_TEST((head.feed("x") == RequestHead::State::too_long));
    BOOST_TEST((head.feed("x") == RequestHead::State::too_long));
}

BOOST_AUTO_TEST_CASE(open_metrics_is_given_to_who_asks_for_it) {
    BOOST_TEST((wanted_format("") == Format::classic));
    BOOST_TEST((wanted_format("*/*") == Format::classic));
    BOOST_TEST((wanted_format("text/plain;version=0.0.4") == Format::classic));
    BOOST_TEST(
        (wanted_format("text/plain;q=0.2, Application/OpenMetrics-Text; version=1.0.0;q=0.7") == Format::open_metrics));
    BOOST_TEST((wanted_format("application/openmetrics-text;q=0") == Format::classic));
    BOOST_TEST((wanted_format("application/openmetrics-text; q=0.0,*/*") == Format::classic));
    BOOST_TEST((wanted_format("application/openmetrics-text;q=0.01") == Format::open_metrics));
}

BOOST_AUTO_TEST_CASE(an_answer_has_its_length_and_head_has_no_body) {
    BOOST_TEST(answer("200 OK", "text/plain", "abc") ==
               "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
    BOOST_TEST(answer("200 OK", "text/plain", "abc", true).ends_with("Content-Length: 3\r\nConnection: close\r\n\r\n"));
}

BOOST_AUTO_TEST_CASE(whatever_comes_is_taken) {
    std::mt19937 random(20261129);
    constexpr std::string_view alphabet = "GET /:;,=q0.\r\n\t x\0\xff";
    for (int round = 0; round < 2000; ++round) {
        std::string bytes(random() % 100, ' ');
        for (char& c : bytes) c = alphabet[random() % alphabet.size()];
        RequestHead once;
        RequestHead slowly;
        const auto state = once.feed(bytes);
        auto last = RequestHead::State::partial;
        for (const char c : bytes) {
            if (last == RequestHead::State::partial) last = slowly.feed(std::string_view(&c, 1));
        }
        BOOST_TEST((state == last));
        BOOST_TEST(once.method() == slowly.method());
        BOOST_TEST(once.field("x") == slowly.field("x"));
        static_cast<void>(wanted_format(bytes));
    }
}

BOOST_AUTO_TEST_SUITE_END()
