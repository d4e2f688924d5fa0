// A split virtqueue whose driver writes whatever it likes: nothing is read or written outside of the guest's memory, every
// function ends, and what comes out is right or a mistake with a name.
#include "virtio/split_queue.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "ring_driver.hpp"

using namespace asyncvm;
using namespace asyncvm::virtio;

namespace {

constexpr std::uint64_t fuzz_ram = 0x8000;

/// Touches each byte of a chain, and checks that it is where it has to be.
void check(GuestMemory& memory, Chain& chain) {
    const auto all = memory.try_at(0, fuzz_ram);
    std::uint64_t readable = 0;
    std::uint64_t writable = 0;
    unsigned sum = 0;
    const auto inside = [&all](std::span<const std::byte> buffer) {
        return !buffer.empty() && buffer.data() >= all.data() && buffer.data() + buffer.size() <= all.data() + all.size();
    };
    for (const auto buffer : chain.readable()) {
        BOOST_REQUIRE(inside(buffer));
        readable += buffer.size();
        for (const std::byte byte : buffer) sum += std::to_integer<unsigned>(byte);
    }
    for (const auto buffer : chain.writable()) {
        BOOST_REQUIRE(inside(buffer));
        writable += buffer.size();
        buffer.front() = static_cast<std::byte>(sum);
        buffer.back() = static_cast<std::byte>(sum);
    }
    BOOST_REQUIRE(readable == chain.readable_size());
    BOOST_REQUIRE(writable == chain.writable_size());
    BOOST_REQUIRE(chain.readable().size() + chain.writable().size() <= SplitQueue::longest_chain);
}

std::uint64_t likely_number(std::mt19937_64& random) {
    constexpr std::array<std::uint64_t, 14> special{0,      1,      2,      15,       16,          0x1000,      0x1400,
                                                    0x1600, 0x4000, 0x7fff, fuzz_ram, 0x8000'0000, 0xffff'ffff, ~0ULL};
    return random() % 4 == 0 ? random() : special[random() % special.size()] + random() % 3;
}

/// One place of the rings, of a table or anywhere, overwritten.
void spoil(RingDriver& driver, std::mt19937_64& random) {
    constexpr std::array<std::uint64_t, 4> parts{0x1000, 0x1400, 0x1600, 0x4000};
    const std::uint64_t at = parts[random() % parts.size()] + random() % 160;
    switch (random() % 3) {
        case 0:
            return driver.put(at, static_cast<std::uint8_t>(likely_number(random)));
        case 1:
            return driver.put(at & ~1ULL, static_cast<std::uint16_t>(likely_number(random)));
        default:
            return driver.put(at & ~7ULL, likely_number(random));
    }
}

void offer_something(RingDriver& driver, std::mt19937_64& random) {
    const auto head = static_cast<std::uint16_t>(random() % driver.size());
    std::vector<RingDriver::Buffer> buffers;
    for (auto count = 1 + random() % 3; count > 0; --count) {
        buffers.push_back({random() % fuzz_ram, static_cast<std::uint32_t>(1 + random() % 64),
                           static_cast<std::uint16_t>(count == 1 ? RingDriver::writes : 0)});
    }
    if (random() % 3 == 0) {
        driver.put_descriptor(0x4000, 0, {0x5000, 8, RingDriver::next, 1});
        driver.put_descriptor(0x4000, 1, {0x6000, 8, RingDriver::writes});
        buffers = {{0x4000, 32, RingDriver::indirect}};
    }
    if (head + buffers.size() <= driver.size()) driver.offer(head, std::move(buffers));
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_queue_with_damaged_rings_gives_right_chains_or_a_mistake) {
    std::mt19937_64 random(20261129);  // NOLINT: the same sequence each time
    std::array<unsigned, static_cast<std::size_t>(Mistake::request) + 1> seen{};
    unsigned chains = 0;
    for (unsigned round = 0; round < 15'000; ++round) {
        GuestMemory memory(fuzz_ram);
        RingDriver driver(memory, 0x1000, 16);
        SplitQueue queue(memory, {.size = 16,
                                  .descriptors = 0x1000,
                                  .available = 0x1400,
                                  .used = 0x1600,
                                  .indirect = random() % 4 != 0,
                                  .event_index = random() % 2 == 0});
        std::vector<Chain> under_way;
        for (auto steps = random() % 40; steps > 0; --steps) {
            switch (random() % 6) {
                case 0:
                    spoil(driver, random);
                    break;
                case 1:
                    offer_something(driver, random);
                    break;
                case 2:
                    if (under_way.empty()) break;
                    std::swap(under_way.back(), under_way[random() % under_way.size()]);
                    queue.push(std::move(under_way.back()), likely_number(random));
                    under_way.pop_back();
                    break;
                case 3:
                    if (queue.ask_for_notification()) queue.decline_notification();
                    static_cast<void>(queue.interrupt_due());
                    break;
                default:
                    if (auto chain = queue.pop()) {
                        check(memory, *chain);
                        under_way.push_back(std::move(*chain));
                        ++chains;
                    }
                    break;
            }
            BOOST_REQUIRE(under_way.size() <= 16u);
        }
        ++seen[static_cast<std::size_t>(queue.mistake())];
    }
    // A fuzzer that never gets anywhere would find nothing.
    BOOST_TEST(chains > 5'000u);
    for (const Mistake mistake :
         {Mistake::none, Mistake::available_index, Mistake::head, Mistake::head_in_use, Mistake::next, Mistake::loop,
          Mistake::empty_buffer, Mistake::buffer_address, Mistake::buffer_order, Mistake::indirect_not_negotiated,
          Mistake::indirect_with_next, Mistake::indirect_in_indirect, Mistake::indirect_size, Mistake::indirect_address}) {
        BOOST_TEST(seen[static_cast<std::size_t>(mistake)] > 0u, describe(mistake));
    }
}

BOOST_AUTO_TEST_CASE(a_queue_that_changes_while_it_is_read_stays_inside_memory) {
    constexpr std::uint16_t size = 16;
    GuestMemory memory(fuzz_ram);
    RingDriver driver(memory, 0x1000, size);
    const auto raw = memory.try_at(0, fuzz_ram);
    std::atomic<bool> over = false;
    // The guest is no thread of this process; what it does to a descriptor is a byte at a time here.
    std::jthread guest([&] {
        std::mt19937_64 random(1);  // NOLINT: the same sequence each time
        constexpr std::array<unsigned, 5> fields{1, 8, 9, 12, 14};
        while (!over.load()) {
            const std::uint64_t at = driver.descriptors() + 16 * (random() % size) + fields[random() % fields.size()];
            const auto value = static_cast<std::uint8_t>(random() % 4 == 0 ? random() : random() % 4);
            std::atomic_ref(reinterpret_cast<std::uint8_t&>(raw[at])).store(value, std::memory_order_relaxed);
        }
    });
    unsigned chains = 0;
    unsigned mistakes = 0;
    for (unsigned round = 0; round < 100'000; ++round) {
        SplitQueue queue(memory, {.size = size,
                                  .descriptors = driver.descriptors(),
                                  .available = driver.available(),
                                  .used = driver.used(),
                                  .indirect = true});
        queue.go_on_from({.next_available = driver.offered()});
        driver.offer(static_cast<std::uint16_t>(round % size));
        while (auto chain = queue.pop()) {
            check(memory, *chain);
            queue.push(std::move(*chain), 1);
            ++chains;
        }
        mistakes += queue.mistake() != Mistake::none ? 1U : 0U;
    }
    over = true;
    BOOST_TEST(chains > 1000u);
    BOOST_TEST(mistakes > 1000u);
}
