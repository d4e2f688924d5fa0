// The ring of coalesced writes with the kernel's side of it, as Linux has it until 6.11 and from 6.12 on.
#define BOOST_TEST_MODULE coalesced_ring_reader
#include "accel/kvm/coalesced_ring_reader.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>

using namespace asyncvm;
using namespace asyncvm::kvm;

namespace {

constexpr std::uint32_t entries = CoalescedRingPage::entries;
static_assert(entries == 170 && sizeof(CoalescedRingPage) <= CoalescedRingPage::size);

enum class Kernel { until_6_11, since_6_12 };

/// What the kernel does with a write in a zone.
struct Producer {
    CoalescedRingPage& page;
    Kernel kernel;

    bool has_room() const {
        if (kernel == Kernel::since_6_12) return (page.last + 1) % entries != page.first;
        return (page.first - page.last - 1) % entries != 0;  // modulo 2^32 before it is modulo 170
    }

    /// Returns false if the write stops the vCPU instead.
    bool write(std::uint64_t data) {
        if (!has_room()) return false;
        kvm_coalesced_mmio& entry = page.writes[page.last];
        entry.phys_addr = 0x3f8 + data % 8;
        entry.len = 4;
        entry.pio = 1;
        std::memcpy(entry.data, &data, 4);
        page.last = (page.last + 1) % entries;
        return true;
    }
};

/// Counts in its writes. What was accepted arrives in order, or the reader has lost something.
struct Ring {
    explicit Ring(Kernel kernel) : producer{*page, kernel} {}

    bool write() {
        if (!producer.write(accepted)) return false;
        ++accepted;
        return true;
    }

    /// How many the kernel takes before it stops the vCPU.
    std::uint32_t fill() {
        std::uint32_t count = 0;
        while (count <= entries && write()) ++count;
        return count;
    }

    std::size_t waiting() const { return static_cast<std::size_t>(accepted - released); }

    /// Looks at `count` writes and releases `some` of those that are there.
    void read(std::size_t count, std::size_t some) {
        std::array<CoalescedWrite, 2 * entries> writes{};
        const auto got = reader.peek(std::span(writes).first(count));
        lost |= got != std::min(count, waiting()) || reader.pending() != (waiting() != 0);
        for (std::size_t i = 0; i < got; ++i) lost |= writes[i].data != released + i;
        some = std::min(some, got);
        reader.release(some);
        released += some;
    }

    std::unique_ptr<CoalescedRingPage> page = std::make_unique<CoalescedRingPage>();
    Producer producer;
    CoalescedRingReader reader{*page};
    std::uint64_t accepted = 0;
    std::uint64_t released = 0;
    bool lost = false;
};

/// Moves the reader to entry `position` while nothing waits.
void move_to(Ring& ring, std::uint32_t position) {
    for (std::uint32_t i = 0; i < position; ++i) {
        ring.write();
        ring.read(1, 1);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(an_entry_becomes_a_write) {
    CoalescedRingPage page{};
    CoalescedRingReader reader(page);
    BOOST_TEST(!reader.pending());
    page.writes[0].phys_addr = 0xd000'0000'0004;
    page.writes[0].len = 2;
    std::memcpy(page.writes[0].data, "\x34\x12\xff\xff\xff\xff\xff\xff", 8);
    page.writes[1].phys_addr = 0x3f8;
    page.writes[1].len = 1;
    page.writes[1].pio = 1;
    page.writes[1].data[0] = 'x';
    page.last = 2;
    BOOST_TEST(reader.pending());
    std::array<CoalescedWrite, 4> writes{};
    BOOST_TEST(reader.peek(writes) == 2U);
    BOOST_TEST((writes[0].space == Space::memory));
    BOOST_TEST(writes[0].address == 0xd000'0000'0004U);
    BOOST_TEST(writes[0].size == 2U);
    BOOST_TEST(writes[0].data == 0x1234U);
    BOOST_TEST((writes[1].space == Space::port));
    BOOST_TEST(writes[1].address == 0x3f8U);
    BOOST_TEST(writes[1].data == static_cast<unsigned>('x'));
    reader.release(2);
    BOOST_TEST(!reader.pending());
    BOOST_TEST(page.first == 2U);
}

BOOST_AUTO_TEST_CASE(no_write_is_lost_when_the_reader_passes_the_end_of_the_page_while_many_wait) {
    for (const auto kernel : {Kernel::until_6_11, Kernel::since_6_12}) {
        for (std::uint32_t before = 1; before < entries; ++before) {
            Ring ring(kernel);
            move_to(ring, entries - before);
            ring.fill();
            // To the first entry exactly; then the guest writes on.
            ring.read(before, before);
            ring.fill();
            ring.read(2 * entries, entries);
            BOOST_TEST(!ring.lost, "with " << before << " writes before the end of the page");
            BOOST_TEST(ring.waiting() == 0U);
        }
    }
}

BOOST_AUTO_TEST_CASE(no_write_is_lost_in_any_sequence_of_writes_and_reads) {
    for (const auto kernel : {Kernel::until_6_11, Kernel::since_6_12}) {
        for (unsigned seed = 0; seed < 50; ++seed) {
            std::mt19937 random(seed);
            Ring ring(kernel);
            const std::uint32_t most = 1 + random() % entries;
            for (unsigned step = 0; step < 2'000; ++step) {
                for (std::uint32_t writes = random() % (most + 1); writes > 0 && ring.write(); --writes) {
                }
                const auto count = random() % (most + 1);
                ring.read(count, random() % (count + 1));
            }
            BOOST_TEST(!ring.lost, "with seed " << seed);
            if (ring.lost) return;
        }
    }
}

BOOST_AUTO_TEST_CASE(an_empty_ring_takes_at_least_84_writes_and_168_since_linux_6_12) {
    for (std::uint32_t position = 0; position < entries; ++position) {
        for (const auto& [kernel, least] : {std::pair(Kernel::until_6_11, 84U), std::pair(Kernel::since_6_12, 168U)}) {
            Ring ring(kernel);
            move_to(ring, position);
            BOOST_TEST(ring.fill() >= least, "at position " << position);
        }
    }
}
