#include "trace/record_ring.hpp"

#include <boost/test/unit_test.hpp>

#include <thread>

using namespace asyncvm::trace;

namespace {

Record numbered(std::uint64_t number) {
    Record made;
    made.kind = Kind::rung;
    made.time = number;
    made.value = number;
    return made;
}

std::vector<Record> take(RecordRing& ring) {
    std::vector<Record> all;
    for (const auto& piece : ring.peek()) all.insert(all.end(), piece.begin(), piece.end());
    ring.release(all.size());
    return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ring)

BOOST_AUTO_TEST_CASE(records_come_out_in_their_order_round_and_round) {
    RecordRing ring(8);
    BOOST_TEST(ring.capacity() == 8);
    std::uint64_t pushed = 0;
    std::uint64_t taken = 0;
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 5; ++i) {
            bool kept = false;
            ring.push(numbered(pushed++), kept);
            BOOST_TEST(kept);
        }
        for (const Record& record : take(ring)) BOOST_TEST(record.value == taken++);
    }
    BOOST_TEST(taken == pushed);
    BOOST_TEST(ring.dropped() == 0U);
}

BOOST_AUTO_TEST_CASE(a_full_ring_drops_until_half_of_it_is_free_and_then_tells_how_many) {
    RecordRing ring(8);
    bool kept = true;
    std::uint64_t pushed = 0;
    while (kept) ring.push(numbered(pushed++), kept);
    BOOST_TEST(pushed == 8U);
    BOOST_TEST(ring.untold() == 1U);
    ring.release(2);
    ring.push(numbered(100), kept);
    BOOST_TEST(!kept);
    BOOST_TEST(ring.dropped() == 2U);
    BOOST_TEST(ring.untold() == 2U);
    ring.release(2);
    ring.push(numbered(101), kept);
    BOOST_TEST(kept);
    BOOST_TEST(ring.dropped() == 2U);
    BOOST_TEST(ring.untold() == 0U);
    const auto rest = take(ring);
    BOOST_TEST_REQUIRE(rest.size() == 5U);
    BOOST_TEST((rest[3].kind == Kind::lost));
    BOOST_TEST(rest[3].value == 2U);
    BOOST_TEST(rest[3].time == 101U);
    BOOST_TEST(rest[4].value == 101U);
    ring.push(numbered(102), kept);
    BOOST_TEST(take(ring).size() == 1U);
}

BOOST_AUTO_TEST_CASE(the_other_side_is_told_to_hurry_once_each_half) {
    RecordRing ring(16);
    unsigned hurries = 0;
    for (int i = 0; i < 64; ++i) {
        bool kept = false;
        hurries += ring.push(numbered(1), kept) ? 1 : 0;
        take(ring);
    }
    BOOST_TEST(hurries == 8U);
}

BOOST_AUTO_TEST_CASE(two_threads_lose_nothing_that_is_not_counted) {
    constexpr std::uint64_t all = 200'000;
    RecordRing ring(64);
    std::atomic<bool> done = false;
    std::thread writer([&] {
        for (std::uint64_t i = 1; i <= all; ++i) {
            bool kept = false;
            ring.push(numbered(i), kept);
        }
        done = true;
    });
    std::uint64_t seen = 0;
    std::uint64_t lost = 0;
    std::uint64_t last = 0;
    for (bool last_look = false; !last_look;) {
        last_look = done;
        for (const Record& record : take(ring)) {
            if (record.kind == Kind::lost) {
                lost += record.value;
                continue;
            }
            ++seen;
            // What is missing is what was told.
            BOOST_TEST_REQUIRE(record.value == last + 1 + (lost + seen - 1 - last));
            last = record.value;
        }
    }
    writer.join();
    BOOST_TEST(seen + ring.dropped() == all);
}

BOOST_AUTO_TEST_SUITE_END()
