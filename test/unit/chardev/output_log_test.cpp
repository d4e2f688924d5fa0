#define BOOST_TEST_MODULE chardev_output_log
#include <chardev/output_log.hpp>

#include <boost/test/unit_test.hpp>

#include <random>
#include <string>

using namespace asyncvm;
using Reader = OutputLog::Reader;

namespace {

std::size_t put(OutputLog& log, std::string_view text) { return log.append(std::as_bytes(std::span(text))); }

std::string look(OutputLog& log, Reader reader = Reader::client, std::size_t limit = 1 << 20) {
    OutputLog::Batch batch;
    log.next(reader, limit, batch);
    std::string text;
    for (const auto& piece : batch.pieces)
        text.append(reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size());
    BOOST_TEST(text.size() == batch.size);
    return text;
}

std::string take(OutputLog& log, std::size_t limit = 1 << 20, Reader reader = Reader::client) {
    OutputLog::Batch batch;
    log.next(reader, limit, batch);
    auto text = look(log, reader, limit);
    log.take(reader, batch.position + batch.size);
    return text;
}

std::string pattern(std::size_t size, std::size_t from = 0) {
    std::string text(size, ' ');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>((from + i) * 2654435761U >> 24);
    return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_goes_in_comes_out_in_order) {
    OutputLog log({});
    const auto text = pattern(100'000);
    BOOST_TEST(put(log, text) == text.size());
    std::string got;
    for (std::size_t step = 1; got.size() < text.size(); step += 777) {
        const auto part = take(log, step);
        got += part;
        log.deliver(got.size());
    }
    BOOST_TEST((got == text));
    BOOST_TEST(look(log).empty());
    BOOST_TEST(log.undelivered(Reader::client) == 0u);
    BOOST_TEST(log.memory() <= OutputLog::block_size);
}

BOOST_AUTO_TEST_CASE(a_batch_says_whether_there_was_more) {
    OutputLog log({});
    put(log, pattern(100));
    OutputLog::Batch batch;
    log.next(Reader::client, 99, batch);
    BOOST_TEST(!batch.ends_at(99));
    log.next(Reader::client, 100, batch);
    BOOST_TEST(!batch.ends_at(99));
    BOOST_TEST(batch.ends_at(100));
    // What comes while it is sent is for the next time.
    put(log, "x");
    BOOST_TEST(batch.ends_at(100));
    log.take(Reader::client, 101);
    log.next(Reader::client, 100, batch);
    BOOST_TEST(batch.ends_at(101));
}

BOOST_AUTO_TEST_CASE(a_full_log_takes_nothing_until_half_is_free) {
    OutputLog log({.capacity = 10});
    BOOST_TEST(put(log, "0123456789abc") == 10u);
    BOOST_TEST(!log.writable());
    BOOST_TEST(put(log, "x") == 0u);
    BOOST_TEST(take(log, 4) == "0123");
    BOOST_TEST(!log.writable());
    BOOST_TEST(put(log, "x") == 0u);
    BOOST_TEST(take(log, 1) == "4");
    BOOST_TEST(log.writable());
    BOOST_TEST(put(log, "ABCDEFGH") == 5u);
    BOOST_TEST(take(log) == "56789ABCDE");
}

BOOST_AUTO_TEST_CASE(a_log_that_is_writable_takes_a_whole_burst) {
    OutputLog log({.capacity = 100});
    BOOST_TEST(put(log, pattern(84)) == 84u);
    BOOST_TEST(log.writable());
    BOOST_TEST(put(log, "x") == 1u);
    BOOST_TEST(!log.writable());
    BOOST_TEST(log.room() == 15u);  // for a guest that does not look
    BOOST_TEST(put(log, pattern(20)) == 15u);
    BOOST_TEST(take(log, 49).size() == 49u);
    BOOST_TEST(!log.writable());
    BOOST_TEST(take(log, 1).size() == 1u);
    BOOST_TEST(log.writable());
    BOOST_TEST(put(log, pattern(16)) == 16u);
}

BOOST_AUTO_TEST_CASE(a_log_of_one_byte_works) {
    OutputLog log({.capacity = 1});
    BOOST_TEST(put(log, "ab") == 1u);
    BOOST_TEST(!log.writable());
    BOOST_TEST(take(log) == "a");
    BOOST_TEST(log.writable());
    BOOST_TEST(put(log, "b") == 1u);
}

BOOST_AUTO_TEST_CASE(what_was_not_delivered_comes_again_once) {
    OutputLog log({});
    put(log, "hello world");
    BOOST_TEST(take(log) == "hello world");
    log.deliver(6);
    BOOST_TEST(log.rewind() == 6u);
    BOOST_TEST(take(log) == "world");
    log.deliver(11);
    BOOST_TEST(log.rewind() == 11u);
    BOOST_TEST(take(log).empty());
}

BOOST_AUTO_TEST_CASE(bytes_in_flight_do_not_fill_the_queue_but_stay_until_delivered) {
    OutputLog log({.capacity = 10});
    put(log, "0123456789");
    BOOST_TEST(take(log) == "0123456789");
    BOOST_TEST(put(log, "abcdefghij") == 10u);
    BOOST_TEST(log.undelivered(Reader::client) == 20u);
    BOOST_TEST(log.rewind() == 0u);
    // Twenty bytes for ten: nothing is lost, and nothing is taken until it has gone down.
    BOOST_TEST(put(log, "x") == 0u);
    BOOST_TEST(take(log, 12) == "0123456789ab");
    BOOST_TEST(put(log, "x") == 0u);
    BOOST_TEST(take(log, 3) == "cde");
    BOOST_TEST(put(log, "x") == 1u);
}

BOOST_AUTO_TEST_CASE(history_is_shown_to_each_new_client) {
    OutputLog log({.history = 4});
    put(log, "abcdefgh");
    BOOST_TEST(take(log) == "abcdefgh");
    log.deliver(8);
    BOOST_TEST(log.rewind() == 4u);
    BOOST_TEST(take(log) == "efgh");
    put(log, "ij");
    BOOST_TEST(take(log) == "ij");
    BOOST_TEST(log.rewind() == 4u);
    BOOST_TEST(take(log) == "efghij");
}

BOOST_AUTO_TEST_CASE(history_does_not_fill_the_queue) {
    OutputLog log({.capacity = 4, .history = 100});
    for (int i = 0; i < 10; ++i) {
        BOOST_TEST(put(log, "abcd") == 4u);
        take(log);
        log.deliver(log.end());
    }
    log.rewind();
    BOOST_TEST(put(log, "efgh") == 4u);
    BOOST_TEST(look(log).size() == 44u);
}

BOOST_AUTO_TEST_CASE(memory_stays_within_capacity_flight_and_history) {
    OutputLog log({.capacity = 64 << 10, .history = 16 << 10});
    const auto chunk = pattern(1000);
    std::uint64_t taken = 0;
    for (int i = 0; i < 3000; ++i) {
        put(log, chunk);
        taken += take(log, 1000).size();
        log.deliver(taken > 8192 ? taken - 8192 : 0);  // 8 KiB in flight
        BOOST_TEST(log.memory() <= (64 << 10) + (16 << 10) + 8192 + 2 * OutputLog::block_size);
    }
}

BOOST_AUTO_TEST_CASE(drop_lets_the_oldest_go_and_counts) {
    OutputLog log({.capacity = 8, .drop = true});
    BOOST_TEST(put(log, "0123456789ab") == 12u);
    BOOST_TEST(log.writable());
    BOOST_TEST(log.lost() == 4u);
    BOOST_TEST(look(log) == "456789ab");
    BOOST_TEST(log.lost() == 4u);
    BOOST_TEST(put(log, "cd") == 2u);
    BOOST_TEST(take(log) == "6789abcd");
    BOOST_TEST(log.lost() == 6u);
    log.deliver(14);
    BOOST_TEST(put(log, std::string(30, 'x')) == 30u);
    BOOST_TEST(log.lost() == 28u);
    BOOST_TEST(log.undelivered(Reader::client) == 8u);
}

BOOST_AUTO_TEST_CASE(drop_does_not_pull_bytes_from_under_a_sender) {
    OutputLog log({.capacity = 8192, .drop = true});
    const auto text = pattern(8192);
    put(log, text);
    OutputLog::Batch batch;
    log.next(Reader::client, 8192, batch);
    put(log, std::string(1 << 20, 'x'));
    std::string held;
    for (const auto& piece : batch.pieces)
        held.append(reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size());
    BOOST_TEST((held == text));
    log.take(Reader::client, batch.position + batch.size);
    BOOST_TEST(log.lost() == (1u << 20) - 8192);
    BOOST_TEST(log.memory() <= 8192 + 2 * OutputLog::block_size);
}

BOOST_AUTO_TEST_CASE(drop_during_a_connection_leaves_a_visible_gap) {
    OutputLog log({.capacity = 4, .drop = true});
    put(log, "abcd");
    BOOST_TEST(take(log) == "abcd");  // in flight
    put(log, "efghij");
    OutputLog::Batch batch;
    log.next(Reader::client, 100, batch);
    BOOST_TEST(batch.position == 6u);
    BOOST_TEST(batch.size == 4u);
    BOOST_TEST(log.lost() == 2u);
}

BOOST_AUTO_TEST_CASE(the_copy_gets_everything_and_holds_the_rest_back) {
    OutputLog log({.capacity = 8, .copy = true});
    put(log, "abcdefgh");
    BOOST_TEST(take(log) == "abcdefgh");
    log.deliver(8);
    BOOST_TEST(put(log, "ij") == 0u);  // the copy has not been written
    BOOST_TEST(log.undelivered(Reader::copy) == 8u);
    BOOST_TEST(take(log, 100, Reader::copy) == "abcdefgh");
    BOOST_TEST(put(log, "ij") == 2u);
    BOOST_TEST(log.rewind() == 8u);
}

BOOST_AUTO_TEST_CASE(without_a_client_everything_vanishes) {
    OutputLog log({.capacity = 4, .client = false});
    BOOST_TEST(put(log, "abcdefgh") == 8u);
    BOOST_TEST(log.memory() == 0u);
    BOOST_TEST(log.lost() == 0u);
}

BOOST_AUTO_TEST_CASE(an_abandoned_client_frees_and_counts) {
    OutputLog log({.capacity = 8});
    put(log, "abcdefgh");
    BOOST_TEST(take(log, 3) == "abc");
    log.deliver(3);
    log.abandon_client();
    BOOST_TEST(log.lost() == 5u);
    BOOST_TEST(log.writable());
    BOOST_TEST(put(log, "ijk") == 3u);
    BOOST_TEST(log.lost() == 8u);
    BOOST_TEST(log.undelivered(Reader::client) == 0u);
    BOOST_TEST(log.memory() <= OutputLog::block_size);
}

// Against a plain string as the model: clients come and go, acknowledge a part, take in any step.
BOOST_AUTO_TEST_CASE(clients_that_come_and_go_get_every_byte_once) {
    std::mt19937 random(4711);
    OutputLog log({.capacity = 20'000});
    std::string all;
    std::string got;
    std::uint64_t position = 0;
    for (int round = 0; round < 20'000; ++round) {
        switch (random() % 4) {
            case 0:
            case 1: {
                const auto text = pattern(random() % 5000, all.size());
                all += text.substr(0, put(log, text));
                break;
            }
            case 2: {
                const auto part = take(log, random() % 6000 + 1);
                BOOST_TEST_REQUIRE((part == all.substr(position, part.size())));
                position += part.size();
                break;
            }
            default: {
                if (position == got.size()) break;
                const auto arrived = got.size() + random() % (position - got.size() + 1);
                got += all.substr(got.size(), arrived - got.size());
                log.deliver(arrived);
                if (random() % 8 == 0) {
                    position = log.rewind();
                    BOOST_TEST_REQUIRE(position == got.size());
                }
                break;
            }
        }
    }
    BOOST_TEST(got.size() > 1'000'000u);
}

BOOST_AUTO_TEST_CASE(another_client_with_other_options_gets_what_has_not_been_delivered) {
    OutputLog log({.capacity = 100});
    put(log, pattern(80));
    BOOST_TEST(take(log, 50) == pattern(50));
    log.deliver(20);
    log.reconfigure({.capacity = 40, .copy = true});
    // More than there is room for now: nothing is taken away, and nothing taken.
    BOOST_TEST(put(log, "x") == 0u);
    BOOST_TEST(!log.writable());
    BOOST_TEST(log.room() == 0u);
    BOOST_TEST(look(log) == pattern(60, 20));
    BOOST_TEST(look(log, Reader::copy).empty());
    log.deliver(80);
    BOOST_TEST(log.writable());
    BOOST_TEST(put(log, "x") == 1u);
    BOOST_TEST(take(log, 10, Reader::copy) == "x");
    log.reconfigure({.capacity = 100});
    BOOST_TEST(take(log) == "x");
}

BOOST_AUTO_TEST_CASE(without_a_client_nothing_is_kept_for_the_next_one) {
    OutputLog log({});
    put(log, "gone");
    log.reconfigure({.client = false});
    BOOST_TEST(log.undelivered(Reader::client) == 0u);
    BOOST_TEST(put(log, "gone too") == 8u);
    log.reconfigure({});
    BOOST_TEST(look(log).empty());
    BOOST_TEST(put(log, "here") == 4u);
    BOOST_TEST(take(log) == "here");
    // After a client that will never take anything again, too.
    log.abandon_client();
    put(log, "lost");
    log.reconfigure({});
    put(log, "found");
    BOOST_TEST(take(log) == "found");
    BOOST_TEST(log.lost() == 4u);
}

BOOST_AUTO_TEST_CASE(what_was_delivered_is_taken_back_as_far_as_it_is_kept) {
    OutputLog log({.history = 10'000});
    put(log, pattern(30'000));
    take(log);
    log.deliver(30'000);
    log.undeliver(100);
    BOOST_TEST(look(log) == pattern(100, 29'900));
    log.undeliver(1 << 20);
    log.reconfigure({});
    BOOST_TEST(look(log).size() >= 10'000u);
    BOOST_TEST((look(log) == pattern(30'000).substr(30'000 - look(log).size())));
}

BOOST_AUTO_TEST_CASE(one_log_takes_what_another_ones_client_has_not_got) {
    OutputLog from({.history = 1000});
    OutputLog to({.capacity = 100});
    put(from, pattern(10'000));
    take(from, 6000);
    from.deliver(5000);
    put(to, "before,");
    to.adopt(from);
    BOOST_TEST(from.undelivered(Reader::client) == 0u);
    BOOST_TEST(look(from).empty());
    BOOST_TEST(!to.writable());
    BOOST_TEST(put(to, "x") == 0u);
    BOOST_TEST((look(to) == "before," + pattern(5000, 5000)));
}

BOOST_AUTO_TEST_CASE(whatever_the_options_become_a_client_that_is_there_gets_every_byte_once) {
    std::mt19937 random(7);
    const auto text = pattern(400'000);
    OutputLog log({.capacity = 5000});
    std::string got;       // by all clients until now
    std::size_t sent = 0;  // appended
    for (int step = 0; step < 4000; ++step) {
        switch (random() % 4) {
            case 0:
                sent += put(log, std::string_view(text).substr(sent, random() % 2000));
                break;
            case 1:
                got += take(log, random() % 3000);
                break;
            case 2:
                log.deliver(log.delivered() + random() % (got.size() - log.delivered() + 1));
                break;
            default:
                if (random() % 8 != 0) break;
                log.reconfigure({.capacity = 1 + random() % 9000, .history = random() % 3000, .copy = random() % 2 == 0});
                got.resize(log.delivered());
                // A copy that nobody reads would stop everything.
                log.take(Reader::copy, log.end());
        }
        log.take(Reader::copy, log.end());
        BOOST_TEST_REQUIRE(log.position(Reader::client) == got.size());
    }
    BOOST_TEST(sent > 100'000u);
    got += take(log);
    BOOST_TEST((got == text.substr(0, sent)));
}
