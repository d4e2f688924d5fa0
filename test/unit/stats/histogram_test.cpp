#define BOOST_TEST_MODULE stats
#include "stats/histogram.hpp"

#include <boost/test/unit_test.hpp>

#include <memory>

using namespace asyncvm::stats;

BOOST_AUTO_TEST_SUITE(scale)

BOOST_AUTO_TEST_CASE(each_bucket_begins_where_the_one_before_it_ends) {
    for (std::size_t bucket = 0; bucket < LogScale::buckets; ++bucket) {
        const auto first = LogScale::first_of(bucket);
        BOOST_TEST(LogScale::bucket_of(first) == bucket);
        if (first > 0) BOOST_TEST(LogScale::bucket_of(first - 1) == bucket - 1);
    }
}

BOOST_AUTO_TEST_CASE(what_stands_for_a_value_is_at_most_7_percent_off) {
    for (std::uint64_t value = 1; value < std::uint64_t{1} << LogScale::limit_bits; value += value / 100 + 1) {
        const auto shown = static_cast<double>(LogScale::middle_of(LogScale::bucket_of(value)));
        const auto off = shown / static_cast<double>(value);
        if (off < 0.93 || off > 1.07) BOOST_TEST(off == 1.0, "value " << value << " is shown as " << shown);
    }
}

BOOST_AUTO_TEST_CASE(what_is_too_large_shares_the_last_bucket) {
    BOOST_TEST(LogScale::bucket_of((std::uint64_t{1} << LogScale::limit_bits) - 1) == LogScale::buckets - 2);
    BOOST_TEST(LogScale::bucket_of(std::uint64_t{1} << LogScale::limit_bits) == LogScale::buckets - 1);
    BOOST_TEST(LogScale::bucket_of(~std::uint64_t{0}) == LogScale::buckets - 1);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(distributions)

Distribution of(std::initializer_list<std::uint64_t> values) {
    const auto histogram = std::make_unique<Histogram>();
    for (const auto value : values) histogram->add(value);
    Distribution distribution;
    distribution.add(*histogram);
    return distribution;
}

BOOST_AUTO_TEST_CASE(an_empty_one_is_all_zeroes) {
    const auto none = of({});
    BOOST_TEST(none.count() == 0U);
    BOOST_TEST(none.total() == 0U);
    BOOST_TEST(none.percentile(50) == 0U);
    BOOST_TEST(none.percentile(99) == 0U);
}

BOOST_AUTO_TEST_CASE(the_total_is_exact) {
    const auto three = of({1'000'000'007, 3, 12'345});
    BOOST_TEST(three.count() == 3U);
    BOOST_TEST(three.total() == 1'000'012'355U);
}

BOOST_AUTO_TEST_CASE(a_percentile_is_the_value_that_so_many_do_not_exceed) {
    BOOST_TEST(of({7}).percentile(1) == 7U);
    BOOST_TEST(of({1025}).percentile(99) == 1025U, "more than the largest");
    BOOST_TEST(of({7}).percentile(99) == 7U);
    BOOST_TEST(of({1, 2}).percentile(50) == 1U);
    BOOST_TEST(of({1, 2, 3}).percentile(50) == 2U);
    BOOST_TEST(of({0, 0, 0, 5}).percentile(50) == 0U);
    BOOST_TEST(of({0, 0, 0, 5}).percentile(75) == 0U);
    BOOST_TEST(of({0, 0, 0, 5}).percentile(76) == 5U);
}

BOOST_AUTO_TEST_CASE(the_99th_of_a_hundred_is_not_the_largest_and_of_101_it_is_not_either_but_of_99_it_is) {
    const auto with_one_outlier = [](unsigned count) {
        const auto histogram = std::make_unique<Histogram>();
        for (unsigned i = 1; i < count; ++i) histogram->add(1);
        histogram->add(6);
        Distribution distribution;
        distribution.add(*histogram);
        return distribution.percentile(99);
    };
    BOOST_TEST(with_one_outlier(99) == 6U);
    BOOST_TEST(with_one_outlier(100) == 1U);
    BOOST_TEST(with_one_outlier(101) == 1U);
}

BOOST_AUTO_TEST_CASE(sums_of_several_histograms) {
    const auto one = std::make_unique<Histogram>();
    const auto other = std::make_unique<Histogram>();
    for (int i = 0; i < 3; ++i) one->add(1);
    other->add(6);
    Distribution both;
    both.add(*one);
    both.add(*other);
    BOOST_TEST(both.count() == 4U);
    BOOST_TEST(both.total() == 9U);
    BOOST_TEST(both.percentile(75) == 1U);
    BOOST_TEST(both.percentile(99) == 6U);
}

BOOST_AUTO_TEST_SUITE_END()
