#include "trace/recording.hpp"

#include <time.h>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

using namespace asyncvm::trace;
using namespace std::chrono_literals;

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
    // Its vCPU's, the shared one, this thread's.
    BOOST_TEST(first.cpus.size() == 3U);
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
    {
        Recording recording(std::make_unique<Held>(taken, go), 2);
        for (unsigned left = 3; left > 0;) left -= recording.push(1, made(1)) ? 0 : 1;
        // Each pushes `records` and as many as it takes to drop `by`, and stays: the next one is another thread.
        std::vector<std::thread> threads;
        std::atomic<std::size_t> done = 0;
        const auto run = [&](unsigned records, unsigned by) {
            threads.emplace_back([&, records, by] {
                for (unsigned i = 0; i < records; ++i) recording.push(made(2));
                for (unsigned left = by; left > 0;) left -= recording.push(made(2)) ? 0 : 1;
                ++done;
                done.notify_all();
                go.wait(false);
            });
            for (auto now = done.load(); now < threads.size(); now = done.load()) done.wait(now);
        };
        run(0, 5);
        for (int i = 0; i < 31; ++i) run(1, 0);
        run(0, 7);
        go = true;
        go.notify_all();
        for (auto& thread : threads) thread.join();
    }
    std::vector<std::uint64_t> lost(taken.cpus.size());
    for (const auto& [source, record] : taken.records) {
        if (record.kind == Kind::lost) lost[source] += record.value;
    }
    BOOST_TEST(taken.dropped == 15U);
    // The last thread is one too many for a ring of its own.
    lost.resize(4);
    BOOST_TEST(lost == (std::vector<std::uint64_t>{0, 3, 7, 5}), boost::test_tools::per_element());
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

/// Can be held up in the middle of its work.
struct Gate {
    std::atomic<std::size_t> begun = 0;  ///< records that are being taken, or have been
    std::atomic<std::size_t> ended = 0;
    std::atomic<bool> open = true;

    static void reach(const std::atomic<std::size_t>& count, std::size_t wanted) {
        for (auto now = count.load(); now < wanted; now = count.load()) count.wait(now);
    }
};

class Gated : public Keeper {
public:
    Gated(Taken& taken, Gate& gate) : Keeper(taken), gate_(gate) {}
    void take(unsigned source, std::span<const Record> records) override {
        gate_.begun += records.size();
        gate_.begun.notify_all();
        gate_.open.wait(false);
        Keeper::take(source, records);
        gate_.ended += records.size();
        gate_.ended.notify_all();
    }

private:
    Gate& gate_;
};

BOOST_AUTO_TEST_CASE(each_record_is_taken_once_also_round_the_end_of_a_ring) {
    Taken taken;
    Gate gate;
    Recording recording(std::make_unique<Gated>(taken, gate), 1);
    std::uint64_t pushed = 0;
    const auto push = [&](std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) BOOST_TEST_REQUIRE(recording.push(made(pushed++)));
    };
    // Most of the ring of a thread that is no vCPU's, and then more than what is left of it.
    push(6000);
    Gate::reach(gate.ended, 6000);
    gate.open = false;
    push(1);
    Gate::reach(gate.begun, 6001);
    push(5999);
    std::thread end([&recording] { recording.finish(); });
    gate.open = true;
    gate.open.notify_all();
    end.join();
    BOOST_TEST_REQUIRE(taken.records.size() == pushed);
    for (std::uint64_t i = 0; i < pushed; ++i) BOOST_TEST_REQUIRE(taken.records[i].second.value == i);
}

BOOST_AUTO_TEST_CASE(who_has_hurried_once_rests_again) {
    Taken taken;
    std::atomic<int> looks = 0;
    Recording recording(std::make_unique<Keeper>(taken), 1, [&looks] {
        ++looks;
        looks.notify_all();
    });
    // Half of the ring.
    for (int i = 0; i < 4200; ++i) recording.push(made(1));
    const auto begin = std::chrono::steady_clock::now();
    const int already = looks;
    for (int now = already; now < already + 6; now = looks) looks.wait(now);
    // The first of these may still be a hurried one.
    BOOST_TEST((std::chrono::steady_clock::now() - begin >= 4 * 50ms));
}

BOOST_AUTO_TEST_CASE(the_time_is_the_hosts) {
    const auto read = [] {
        timespec time{};
        BOOST_REQUIRE(clock_gettime(CLOCK_BOOTTIME, &time) == 0);
        return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
    };
    const auto before = read();
    const auto between = now();
    BOOST_TEST(before <= between);
    BOOST_TEST(between <= read());
}

BOOST_AUTO_TEST_SUITE_END()
