#define BOOST_TEST_MODULE memory
#include <fmt/format.h>
#include <unistd.h>
#include <asyncvm/error.hpp>
#include <asyncvm/guest_memory.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <vector>

using namespace asyncvm;

namespace {

constexpr std::uint64_t mib = 1 << 20;
constexpr std::uint64_t gib = 1 << 30;

std::array<std::byte, 4> four(int a, int b, int c, int d) {
    return {static_cast<std::byte>(a), static_cast<std::byte>(b), static_cast<std::byte>(c), static_cast<std::byte>(d)};
}

}  // namespace

BOOST_AUTO_TEST_CASE(memory_starts_as_zeros) {
    const GuestMemory memory(mib);
    BOOST_TEST(memory.ram_size() == mib);
    const auto all = memory.try_at(0, mib);
    BOOST_TEST(all.size() == mib);
    BOOST_TEST((std::to_integer<int>(all.front()) == 0 && std::to_integer<int>(all.back()) == 0));
}

BOOST_AUTO_TEST_CASE(what_is_written_is_read_back) {
    GuestMemory memory(mib);
    const auto data = four(1, 2, 3, 4);
    BOOST_TEST(memory.write(0x1234, data) == 4u);
    std::array<std::byte, 4> back{};
    BOOST_TEST(memory.read(0x1234, back) == 4u);
    BOOST_TEST((back == data));
    BOOST_TEST(memory.try_at(0x1234, 4).data() == memory.try_at(0, mib).data() + 0x1234);
}

BOOST_AUTO_TEST_CASE(a_debugger_s_byte_is_the_guest_s_alone) {
    GuestMemory memory(mib);
    memory.write(0x1000, four(1, 2, 3, 4));
    BOOST_TEST(memory.patch(0x1001, std::byte{0xcc}));
    BOOST_TEST(!memory.patch(0x1001, std::byte{0xcc}));
    BOOST_TEST(!memory.patch(mib, std::byte{0xcc}));
    BOOST_TEST((memory.try_at(0x1001, 1)[0] == std::byte{0xcc}));
    std::array<std::byte, 4> back{};
    memory.read(0x1000, back);
    BOOST_TEST((back == four(1, 2, 3, 4)));
    memory.read(0x1001, std::span(back).first(1));
    BOOST_TEST((back[0] == std::byte{2}));
    memory.read(0x1002, std::span(back).first(2));
    BOOST_TEST((back[0] == std::byte{3}));
    memory.unpatch(0x1001);
    memory.unpatch(0x1001);
    BOOST_TEST((memory.try_at(0x1001, 1)[0] == std::byte{2}));
}

BOOST_AUTO_TEST_CASE(what_is_written_over_a_debugger_s_byte_stays) {
    GuestMemory memory(mib);
    const auto place = memory.try_at(0x1000, 1);
    std::array<std::byte, 1> back{};
    // By the guest.
    BOOST_TEST(memory.patch(0x1000, std::byte{0xcc}));
    place[0] = std::byte{7};
    memory.read(0x1000, back);
    BOOST_TEST((back[0] == std::byte{7}));
    memory.unpatch(0x1000);
    BOOST_TEST((place[0] == std::byte{7}));
    // By this process, also the same byte.
    BOOST_TEST(memory.patch(0x1000, std::byte{0xcc}));
    memory.write(0x0ffe, four(0, 0, 0xcc, 0));
    memory.read(0x1000, back);
    BOOST_TEST((back[0] == std::byte{0xcc}));
    memory.unpatch(0x1000);
    BOOST_TEST((place[0] == std::byte{0xcc}));
    BOOST_TEST(memory.patch(0x1000, std::byte{0x55}));
    memory.clear();
    BOOST_TEST(memory.patch(0x1000, std::byte{0x55}));
}

BOOST_AUTO_TEST_CASE(an_access_across_the_end_is_cut) {
    GuestMemory memory(mib);
    const auto data = four(1, 2, 3, 4);
    BOOST_TEST(memory.write(mib - 3, data) == 3u);
    std::array<std::byte, 4> back{};
    BOOST_TEST(memory.read(mib - 3, back) == 3u);
    BOOST_TEST((back == four(1, 2, 3, 0)));
    BOOST_TEST(memory.read(mib, back) == 0u);
}

BOOST_AUTO_TEST_CASE(a_view_across_the_end_is_refused) {
    const GuestMemory memory(mib);
    BOOST_TEST(memory.try_at(mib - 4, 4).size() == 4u);
    BOOST_TEST(memory.try_at(mib - 3, 4).empty());
    BOOST_TEST(memory.try_at(mib, 1).empty());
    BOOST_TEST(memory.try_at(0, mib + 1).empty());
}

BOOST_AUTO_TEST_CASE(addresses_that_wrap_around_are_refused) {
    GuestMemory memory(mib);
    constexpr std::uint64_t top = ~std::uint64_t{0};
    std::array<std::byte, 4> bytes{};
    BOOST_TEST(memory.try_at(top, 4).empty());
    BOOST_TEST(memory.try_at(4, top).empty());
    BOOST_TEST(memory.read(top - 1, bytes) == 0u);
    BOOST_TEST(memory.write(top - 1, bytes) == 0u);
}

BOOST_AUTO_TEST_CASE(more_than_three_gib_goes_on_above_four) {
    GuestMemory memory(3 * gib + mib);
    BOOST_TEST(memory.regions().size() == 2u);
    BOOST_TEST(memory.try_at(3 * gib - 1, 1).size() == 1u);
    BOOST_TEST(memory.try_at(3 * gib, 1).empty());
    BOOST_TEST(memory.try_at(4 * gib, mib).size() == mib);
    BOOST_TEST(memory.try_at(4 * gib + mib, 1).empty());
    // The two ends of the RAM are not neighbours for a guest.
    const auto data = four(1, 2, 3, 4);
    BOOST_TEST(memory.write(3 * gib - 2, data) == 2u);
    std::array<std::byte, 4> back{};
    BOOST_TEST(memory.read(4 * gib, back) == 4u);
    BOOST_TEST((back == four(0, 0, 0, 0)));
}

BOOST_AUTO_TEST_CASE(boot_tables_are_one_region_outside_the_ram) {
    GuestMemory memory(3 * gib + mib);
    const auto tables = memory.boot_tables();
    BOOST_TEST(tables.size() == GuestMemory::boot_tables_size);
    BOOST_TEST(memory.boot_tables().data() == tables.data());
    BOOST_TEST(memory.regions().size() == 3u);
    std::uint64_t end = 0;
    for (const auto& region : memory.regions()) {
        BOOST_TEST(region.address >= end);
        end = region.address + region.bytes.size();
    }
    BOOST_TEST(memory.try_at(GuestMemory::boot_tables_base, GuestMemory::boot_tables_size).data() == tables.data());
    BOOST_TEST(memory.ram_size() == 3 * gib + mib);
}

BOOST_AUTO_TEST_CASE(memory_that_cannot_be_reserved_is_an_error_of_the_host) {
    BOOST_CHECK_EXCEPTION(GuestMemory(std::uint64_t{1} << 62), Error, [](const Error& error) {
        return error.kind() == ErrorKind::host && std::string(error.what()).find("--memory") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(no_address_leads_out_of_the_memory) {
    GuestMemory memory(3 * gib + mib);
    memory.boot_tables();
    std::mt19937_64 random(1);
    std::array<std::byte, 64> bytes{};
    for (int i = 0; i < 20000; ++i) {
        const std::uint64_t address = random() >> (random() % 64);
        const std::uint64_t size = random() % 65;
        const auto view = memory.try_at(address, size);
        if (!view.empty()) BOOST_REQUIRE(view.size() == size);
        BOOST_REQUIRE(memory.read(address, std::span(bytes).first(size)) <= size);
        BOOST_REQUIRE((view.empty() || memory.read(address, std::span(bytes).first(size)) == size));
    }
}

BOOST_AUTO_TEST_CASE(private_memory_has_no_descriptor_and_shared_memory_is_seen_through_its_own) {
    for (const auto huge_pages : {HugePages::off, HugePages::on}) {
        const GuestMemory alone(mib, {.huge_pages = huge_pages});
        BOOST_TEST(alone.regions()[0].fd == -1);
        GuestMemory memory(4 * mib, {.huge_pages = huge_pages, .shared = true});
        const auto& region = memory.regions()[0];
        BOOST_REQUIRE(region.fd >= 0);
        const auto data = four(1, 2, 3, 4);
        memory.write(0x1234, data);
        std::array<std::byte, 4> back{};
        BOOST_TEST(::pread(region.fd, back.data(), back.size(), static_cast<off_t>(region.offset + 0x1234)) == 4);
        BOOST_TEST((back == data));
    }
}

BOOST_AUTO_TEST_CASE(memory_for_huge_pages_is_aligned_to_them) {
    for (const bool shared : {false, true}) {
        std::vector<GuestMemory*> all;
        for (int i = 0; i < 8; ++i) {
            // An odd number of pages each, so that chance does not align them.
            all.push_back(new GuestMemory(3 * mib + 4096, {.huge_pages = HugePages::on, .shared = shared}));
            const auto bytes = all.back()->regions()[0].bytes;
            BOOST_TEST(reinterpret_cast<std::uintptr_t>(bytes.data()) % (2 * mib) == 0u);
            BOOST_TEST(bytes.size() == 3 * mib + 4096);
            bytes.front() = bytes.back() = std::byte{1};
        }
        for (const auto* const memory : all) delete memory;
    }
}

BOOST_AUTO_TEST_CASE(the_kernel_is_asked_for_huge_pages_only_when_they_are_wanted) {
    const auto flags_of = [](const GuestMemory& memory) {
        const auto start = fmt::format("{:x}-", reinterpret_cast<std::uintptr_t>(memory.regions()[0].bytes.data()));
        std::ifstream maps("/proc/self/smaps");
        bool here = false;
        for (std::string line; std::getline(maps, line);) {
            if (line.starts_with(start)) here = true;
            if (here && line.starts_with("VmFlags:")) return line + " ";
        }
        return std::string();
    };
    BOOST_TEST(flags_of(GuestMemory(4 * mib, {.huge_pages = HugePages::on})).find(" hg ") != std::string::npos);
    BOOST_TEST(flags_of(GuestMemory(4 * mib)).find(" hg ") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(reserved_pages_that_are_not_there_are_an_error_that_says_what_to_do) {
    std::string reserved;
    std::getline(std::ifstream("/proc/sys/vm/nr_hugepages"), reserved);
    for (const bool shared : {false, true}) {
        if (reserved != "0") continue;
        BOOST_CHECK_EXCEPTION(
            GuestMemory(8 * mib, {.huge_pages = HugePages::reserved, .shared = shared}), Error,
            [](const Error& error) { return std::string(error.what()).find("vm.nr_hugepages=4") != std::string::npos; });
    }
}

BOOST_AUTO_TEST_CASE(shared_memory_that_gets_no_huge_pages_is_told_in_one_line) {
    std::string word;
    std::getline(std::ifstream("/sys/kernel/mm/transparent_hugepage/shmem_enabled"), word);
    const bool none = word.empty() || word.find("[never]") != std::string::npos || word.find("[deny]") != std::string::npos;
    std::vector<std::string> told;
    const MemoryOptions options{
        .huge_pages = HugePages::on, .shared = true, .log = [&](std::string_view line) { told.emplace_back(line); }};
    const GuestMemory memory(mib, options);
    BOOST_TEST(told.size() == (none ? 1u : 0u));
    for (const auto& line : told) BOOST_TEST(line.find("shared guest memory gets no huge pages") != std::string::npos, line);
}

BOOST_AUTO_TEST_CASE(shared_values_are_whole_aligned_and_inside) {
    GuestMemory memory(mib);
    BOOST_TEST(memory.store_release<std::uint16_t>(0x100, 0x1234));
    BOOST_TEST(memory.store_release<std::uint64_t>(0x108, 0x1122334455667788));
    BOOST_TEST((memory.load_acquire<std::uint16_t>(0x100) == 0x1234));
    BOOST_TEST((memory.load_acquire<std::uint32_t>(0x108) == 0x55667788u));
    BOOST_TEST((memory.load_acquire<std::uint64_t>(mib - 8) == 0u));
    BOOST_TEST(!memory.load_acquire<std::uint32_t>(0x102));
    BOOST_TEST(!memory.load_acquire<std::uint32_t>(mib));
    BOOST_TEST(!memory.store_release<std::uint16_t>(mib, 1));
    BOOST_TEST(!memory.store_release<std::uint16_t>(0x101, 1));
    BOOST_TEST(!memory.load_acquire<std::uint64_t>(~std::uint64_t{7}));
}

BOOST_AUTO_TEST_CASE(what_is_written_is_noted_once_it_is_asked_for) {
    GuestMemory memory(3 * gib + mib);
    memory.boot_tables();
    memory.write(0x5000, four(1, 2, 3, 4));
    BOOST_TEST(memory.take_dirty_pages().empty());
    memory.start_dirty_log();
    using Pages = std::vector<std::uint64_t>;
    memory.write(0x5ffe, four(1, 2, 3, 4));
    memory.write(4 * gib, four(1, 2, 3, 4));
    memory.write(3 * gib - 2, four(1, 2, 3, 4));
    memory.write(3 * gib, four(1, 2, 3, 4));  // nothing is there
    memory.store_release<std::uint16_t>(0x9000, 7);
    memory.mark_dirty(0x7000, 1);
    memory.mark_dirty(0x7fff, 0);
    memory.mark_dirty(4 * gib + mib - 1, ~std::uint64_t{0});
    BOOST_TEST(memory.take_dirty_pages() ==
                   (Pages{0x5000, 0x6000, 0x7000, 0x9000, 3 * gib - 0x1000, 4 * gib, 4 * gib + mib - 0x1000}),
               boost::test_tools::per_element());
    BOOST_TEST(memory.take_dirty_pages().empty());
}

BOOST_AUTO_TEST_CASE(more_memory_than_the_host_has_costs_nothing_until_it_is_touched) {
    GuestMemory memory(512 * gib);
    BOOST_TEST(memory.write(512 * gib, four(1, 2, 3, 4)) == 4u);
    BOOST_TEST(memory.store_release<std::uint32_t>(513 * gib - 8, 1));
}

BOOST_AUTO_TEST_CASE(zeroed_memory_reads_as_zeros_and_what_is_around_it_stays) {
    for (const bool shared : {false, true}) {
        for (const HugePages huge : {HugePages::off, HugePages::on}) {
            GuestMemory memory(4 * mib, {.huge_pages = huge, .shared = shared});
            const auto all = memory.try_at(0, 4 * mib);
            for (const auto& [at, size] : {std::pair<std::uint64_t, std::uint64_t>{0x1ffe, 0x3003},
                                           {0x5001, 1},
                                           {0x6000, 0x1000},
                                           {0x7ff0, 0x20},
                                           {3 * mib, mib},
                                           {0x100, 0}}) {
                std::ranges::fill(all, std::byte{0xee});
                memory.zero(at, size);
                const auto zeros = static_cast<std::uint64_t>(std::ranges::count(all, std::byte{0}));
                BOOST_TEST(zeros == size);
                if (size == 0) continue;
                BOOST_TEST((all[at] == std::byte{0} && all[at + size - 1] == std::byte{0}));
            }
            memory.zero(4 * mib - 1, 2);  // not all of it is there: nothing is done
            BOOST_TEST((all[4 * mib - 1] == std::byte{0xee} || all[4 * mib - 1] == std::byte{0}));
            memory.clear();
            BOOST_TEST(std::ranges::count(all, std::byte{0}) == static_cast<std::ptrdiff_t>(4 * mib));
        }
    }
}

BOOST_AUTO_TEST_CASE(zeros_are_noted_as_written) {
    GuestMemory memory(mib);
    memory.start_dirty_log();
    memory.zero(0x5ffe, 0x1004);
    BOOST_TEST(memory.take_dirty_pages() == (std::vector<std::uint64_t>{0x5000, 0x6000, 0x7000}),
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(whole_pages_that_are_given_back_hold_zeros_and_are_noted_as_written) {
    for (const bool shared : {false, true}) {
        GuestMemory memory(mib, {.shared = shared});
        memory.start_dirty_log();
        const auto all = memory.try_at(0, mib);
        for (const auto& [at, size, first, last] : {std::array<std::uint64_t, 4>{0x2000, 0x3000, 0x2000, 0x5000},
                                                    {0x2001, 0x2fff, 0x3000, 0x5000},
                                                    {0x2000, 0x2fff, 0x2000, 0x4000},
                                                    {0x2800, 0x1000, 0, 0},
                                                    {0x2800, 1, 0, 0},
                                                    {mib - 0x1000, 0x2000, 0, 0}}) {
            std::ranges::fill(all, std::byte{0xee});
            memory.give_back(at, size);
            BOOST_TEST(std::ranges::count(all, std::byte{0}) == static_cast<std::ptrdiff_t>(last - first));
            BOOST_TEST(std::ranges::count(all.subspan(first, last - first), std::byte{0}) ==
                       static_cast<std::ptrdiff_t>(last - first));
            BOOST_TEST(memory.take_dirty_pages().empty() == (first == last));
        }
    }
}
