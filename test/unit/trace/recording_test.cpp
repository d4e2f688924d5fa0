#include "trace/recording.hpp"

#include <boost/test/unit_test.hpp>

#include <thread>
#include <vector>

using namespace asyncvm::trace;

namespace {

struct Taken {
    std::vector<unsigned> cpus;  ///< of the sources
    std::vector<std::pair<unsigned, Record>> records;
    std::uint64_t dropped = 0;
    unsigned ends = 0;
};

/// Keeps what it gets in an object that outlives it.
class Keeper : public Consumer {
public:
    explicit Keeper(Taken& taken) : taken_(taken) {}
    void add_source(unsigned cpu) override { taken_.cpus.push_back(cpu); }
    void take(unsigned source, std::span<const Record> records) override {
        for (const Record& record : records) taken_.records.emplace_back(source, record);
    }
    void flush() override {}
    void finish(std::uint64_t dropped) override {
        taken_.dropped = dropped;
        ++taken_.ends;
    }

private:
    Taken& taken_;
};

Record made(std::uint64_t value) {
    Record record;
    record.kind = Kind::rung;
    record.time = now();
    record.value = value;
    return record;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(recording)

BOOST_AUTO_TEST_CASE(each_thread_has_a_source_and_all_of_it_arrives_in_the_order_of_time) {
    constexpr unsigned threads = 3;
    constexpr std::uint64_t each = 1500;
    Taken taken;
    {
        Recording recording(std::make_unique<Keeper>(taken), 2);
        std::vector<std::thread> all;
        for (unsigned cpu = 0; cpu < 2; ++cpu) {
            all.emplace_back([&recording, cpu] {
                for (std::uint64_t i = 0; i < each; ++i) {
                    recording.push(cpu, made(i));
                    recording.push(made(1'000'000 + i));  // by the vCPU's thread, too
                }
            });
        }
        for (unsigned i = 0; i < threads; ++i) {
            all.emplace_back([&recording] {
                for (std::uint64_t n = 0; n < each; ++n) recording.push(made(n));
            });
        }
        for (auto& thread : all) thread.join();
    }
    BOOST_TEST(taken.ends == 1U);
    BOOST_TEST(taken.records.size() + taken.dropped == 2 * 2 * each + threads * each);
    BOOST_TEST(taken.dropped == 0U);
    BOOST_TEST(taken.cpus.size() == 3U + threads);
    std::vector<std::uint64_t> last(taken.cpus.size());
    std::vector<std::size_t> count(taken.cpus.size());
    for (const auto& [source, record] : taken.records) {
        BOOST_TEST_REQUIRE(last[source] <= record.time);
        last[source] = record.time;
        ++count[source];
    }
    BOOST_TEST(count[0] == 2 * each);
    BOOST_TEST(count[1] == 2 * each);
    BOOST_TEST(taken.cpus[0] == 0U);
    BOOST_TEST(taken.cpus[1] == 1U);
    BOOST_TEST(taken.cpus[2] == Recording::no_cpu);
}

BOOST_AUTO_TEST_CASE(of_two_things_one_after_the_other_on_two_threads_the_first_comes_first) {
    Taken taken;
    {
        Recording recording(std::make_unique<Keeper>(taken), 1);
        std::atomic<std::uint64_t> turn = 0;
        constexpr std::uint64_t rounds = 2000;
        const auto play = [&](std::uint64_t parity) {
            for (std::uint64_t i = parity; i < rounds; i += 2) {
                while (turn.load() != i) std::this_thread::yield();
                recording.push(made(i));
                turn.store(i + 1);
            }
        };
        std::thread other([&] { play(1); });
        play(0);
        other.join();
    }
    std::uint64_t next = 0;
    for (const auto& [source, record] : taken.records) BOOST_TEST_REQUIRE(record.value == next++);
}

BOOST_AUTO_TEST_CASE(two_recordings_on_one_thread_get_what_is_theirs) {
    Taken first;
    Taken second;
    {
        Recording one(std::make_unique<Keeper>(first), 1);
        Recording two(std::make_unique<Keeper>(second), 1);
        for (std::uint64_t i = 0; i < 100; ++i) {
            one.push(made(1));
            two.push(0, made(2));
            two.push(made(2));
        }
    }
    BOOST_TEST(first.records.size() == 100U);
    BOOST_TEST(second.records.size() == 200U);
    for (const auto& [source, record] : first.records) BOOST_TEST(record.value == 1U);
    for (const auto& [source, record] : second.records) BOOST_TEST(source == 0U);
}

BOOST_AUTO_TEST_CASE(many_threads_share_a_ring) {
    Taken taken;
    {
        Recording recording(std::make_unique<Keeper>(taken), 1);
        std::vector<std::thread> all;
        for (unsigned i = 0; i < 40; ++i) {
            all.emplace_back([&recording] {
                for (std::uint64_t n = 0; n < 50; ++n) recording.push(made(n));
            });
        }
        for (auto& thread : all) thread.join();
    }
    BOOST_TEST(taken.records.size() == 2000U);
}

/// Does not take anything before the threads have lost something.
class Held : public Keeper {
public:
    Held(Taken& taken, std::atomic<bool>& go) : Keeper(taken), go_(go) {}
    void take(unsigned source, std::span<const Record> records) override {
        go_.wait(false);
        Keeper::take(source, records);
    }

private:
    std::atomic<bool>& go_;
};

BOOST_AUTO_TEST_CASE(what_had_no_room_is_told_where_it_is_missing_also_if_nothing_comes_after_it) {
    Taken taken;
    std::atomic<bool> go = false;
    std::uint64_t of_cpu = 0;
    std::uint64_t of_loop = 0;
    {
        Recording recording(std::make_unique<Held>(taken, go), 2);
        while (of_cpu < 3) of_cpu += recording.push(1, made(1)) ? 0 : 1;
        std::thread loop([&] {
            while (of_loop < 5) of_loop += recording.push(made(2)) ? 0 : 1;
        });
        loop.join();
        go = true;
        go.notify_all();
    }
    std::vector<std::uint64_t> lost(taken.cpus.size());
    for (const auto& [source, record] : taken.records) {
        if (record.kind == Kind::lost) lost[source] += record.value;
    }
    BOOST_TEST(taken.dropped == 8U);
    BOOST_TEST(lost == (std::vector<std::uint64_t>{0, 3, 0, 5}), boost::test_tools::per_element());
    BOOST_TEST((taken.records.back().second.kind == Kind::lost));
    BOOST_TEST(taken.records.back().second.time >= taken.records.front().second.time);
}

BOOST_AUTO_TEST_CASE(what_the_threads_own_preparation_pushes_is_part_of_it) {
    Taken taken;
    std::atomic<int> times = 0;
    Recording* recording = nullptr;
    std::atomic<bool> ready = false;
    Recording made_here(std::make_unique<Keeper>(taken), 1, [&] {
        if (!ready) return;
        if (times++ == 0) recording->push(made(7));
    });
    recording = &made_here;
    ready = true;
    made_here.finish();
    BOOST_TEST(taken.records.size() == 1U);
    made_here.finish();
    BOOST_TEST(taken.ends == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
