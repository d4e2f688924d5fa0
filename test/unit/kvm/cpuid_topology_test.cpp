// The topology that CPUID shows, read as kernels read it: every leaf must give the same answer.
#include "accel/kvm/cpuid_topology.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <bit>
#include <initializer_list>
#include <optional>

#include "accel/kvm/cpuid.hpp"

using namespace asyncvm::kvm;

namespace {

using Entries = std::vector<kvm_cpuid_entry2>;

constexpr unsigned apic = 1u << 9;

kvm_cpuid_entry2 leaf(unsigned function, unsigned index, unsigned eax, unsigned ebx, unsigned ecx, unsigned edx) {
    kvm_cpuid_entry2 entry{};
    entry.function = function;
    entry.index = index;
    entry.eax = eax;
    entry.ebx = ebx;
    entry.ecx = ecx;
    entry.edx = edx;
    return entry;
}

/// What a KVM shows that leaks its host's topology: 16 threads, 2 a core.
Entries amd_host() {
    return {leaf(0, 0, 0x10, 0x6874'7541, 0x444d'4163, 0x6974'6e65),
            leaf(1, 0, 0x00a0'0f11, 0x0510'0800, 0x0120'2000, 0x178b'fbff),
            leaf(0xb, 0, 1, 2, 0x100, 5),
            leaf(0xb, 1, 4, 16, 0x201, 5),
            leaf(0x4000'0000, 0, 0x4000'0001, 0x4b4d'564b, 0x564b'4d56, 0x4d),
            leaf(0x8000'0001, 0, 0, 0, 0x0040'0391, 0),
            leaf(0x8000'0008, 0, 0x3030, 0x110a'd205, 0x0000'700f, 0),
            leaf(0x8000'001d, 0, 0x0000'4121, 0x01c0'003f, 0x3f, 0),
            leaf(0x8000'001d, 1, 0x0001'c163, 0x03c0'003f, 0x7fff, 1),
            leaf(0x8000'001d, 2, 0, 0, 0, 0),
            leaf(0x8000'001e, 0, 5, 0x0102, 0x0303, 0),
            leaf(0x8000'0026, 0, 1, 2, 0x100, 5)};
}

Entries intel_host() {
    return {leaf(0, 0, 0x1f, 0x756e'6547, 0x6c65'746e, 0x4965'6e69),
            leaf(1, 0, 0x000c'0662, 0x0510'0800, 0x0120'2000, 0x178b'fbff),
            leaf(4, 0, 0x1c00'4121, 0x02c0'003f, 0x3f, 0),
            leaf(4, 1, 0x1c00'4143, 0x04c0'003f, 0x3ff, 0),
            leaf(4, 2, 0x1c03'c163, 0x02c0'003f, 0x7fff, 4),
            leaf(4, 3, 0, 0, 0, 0),
            leaf(0xb, 0, 1, 2, 0x100, 5),
            leaf(0x15, 0, 0, 0, 0, 0),
            leaf(0x16, 0, 0, 0, 0, 0),
            leaf(0x4000'0000, 0, 0x4000'0001, 0x4b4d'564b, 0x564b'4d56, 0x4d)};
}

std::optional<kvm_cpuid_entry2> find(const Entries& entries, unsigned function, unsigned index = 0) {
    const auto found =
        std::ranges::find_if(entries, [=](const auto& entry) { return entry.function == function && entry.index == index; });
    if (found == entries.end()) return std::nullopt;
    return *found;
}

Entries shown(Entries entries, unsigned cpus, unsigned cpu = 0) {
    show_topology(entries, cpus);
    return cpuid_of(entries, cpu);
}

constexpr unsigned counts[] = {1, 2, 3, 4, 8, 16, 17, 64, 128, 255};

}  // namespace

BOOST_AUTO_TEST_SUITE(cpuid_topology)

BOOST_AUTO_TEST_CASE(leaf_1_counts_the_cpus_and_says_that_the_count_is_valid) {
    for (const auto& host : {amd_host(), intel_host()}) {
        for (const unsigned cpus : counts) {
            for (unsigned cpu = 0; cpu < cpus; cpu += 5) {
                const auto one = find(shown(host, cpus, cpu), 1).value();
                BOOST_TEST((one.ebx >> 16 & 0xff) == cpus);
                BOOST_TEST((one.ebx >> 24) == cpu);
                BOOST_TEST((one.ebx & 0xffff) == 0x0800u);
                BOOST_TEST((one.edx >> 28 & 1) == (cpus > 1 ? 1u : 0u));
                BOOST_TEST((one.ecx >> 31) == 1u);
                BOOST_TEST((one.edx & apic) == apic);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(the_levels_are_one_thread_a_core_and_all_cores_in_the_package) {
    for (const unsigned function : {0xbu, 0x1fu}) {
        for (const unsigned cpus : counts) {
            const auto entries = shown(intel_host(), cpus, cpus - 1);
            const auto threads = find(entries, function, 0).value(), cores = find(entries, function, 1).value(),
                       end = find(entries, function, 2).value();
            BOOST_TEST(threads.eax == 0u);
            BOOST_TEST(threads.ebx == 1u);
            BOOST_TEST(threads.ecx == 0x100u);
            BOOST_TEST(cores.ebx == cpus);
            BOOST_TEST(cores.ecx == 0x201u);
            // The shift takes an APIC ID to the package's, which is 0 for all; a smaller one would not.
            BOOST_TEST(((cpus - 1) >> cores.eax) == 0u);
            if (cpus > 1) BOOST_TEST(((cpus - 1) >> (cores.eax - 1)) != 0u);
            BOOST_TEST(end.ecx == 2u);
            BOOST_TEST(end.ebx == 0u);
            for (const auto& entry : {threads, cores, end}) {
                BOOST_TEST(entry.edx == cpus - 1);
                BOOST_TEST(entry.flags == unsigned{KVM_CPUID_FLAG_SIGNIFCANT_INDEX});
            }
        }
    }
    // AMD has no 0x1f, and the leaf 0xb of the host is gone.
    const auto entries = shown(amd_host(), 2);
    BOOST_TEST(!find(entries, 0x1f));
    BOOST_TEST(std::ranges::count(entries, 0xbu, &kvm_cpuid_entry2::function) == 3);
    BOOST_TEST(find(entries, 0xb, 1).value().ebx == 2u);
}

BOOST_AUTO_TEST_CASE(no_level_is_shown_beyond_the_last_leaf) {
    auto host = intel_host();
    host.front().eax = 0xa;
    BOOST_TEST(!find(shown(host, 2), 0xb));
    host.front().eax = 0xb;
    BOOST_TEST(find(shown(host, 2), 0xb).has_value());
    BOOST_TEST(!find(shown(host, 2), 0x1f));
}

BOOST_AUTO_TEST_CASE(intel_s_caches_belong_to_a_core_or_to_the_package) {
    for (const unsigned cpus : counts) {
        const auto entries = shown(intel_host(), cpus);
        const unsigned ids = std::bit_ceil(cpus);
        for (const unsigned level : {0u, 1u}) BOOST_TEST((find(entries, 4, level).value().eax >> 14 & 0xfff) == 0u);
        BOOST_TEST((find(entries, 4, 2).value().eax >> 14 & 0xfff) == ids - 1);
        for (const unsigned level : {0u, 1u, 2u}) {
            BOOST_TEST((find(entries, 4, level).value().eax >> 26) == std::min(ids, 64u) - 1);
        }
        BOOST_TEST(find(entries, 4, 0).value().ebx == 0x02c0'003fu);
        BOOST_TEST(find(entries, 4, 3).value().eax == 0u);
    }
}

BOOST_AUTO_TEST_CASE(amd_s_leaves_say_the_same) {
    for (const unsigned cpus : counts) {
        for (unsigned cpu = 0; cpu < cpus; cpu += 7) {
            const auto entries = shown(amd_host(), cpus, cpu);
            const auto cores = find(entries, 0x8000'0008).value();
            BOOST_TEST((cores.ecx & 0xff) == cpus - 1);
            BOOST_TEST((1u << (cores.ecx >> 12 & 0xf)) == std::bit_ceil(cpus));
            BOOST_TEST(cores.ebx == 0x110a'd205u);
            BOOST_TEST((find(entries, 0x8000'0001).value().ecx >> 1 & 1) == (cpus > 1 ? 1u : 0u));
            const auto place = find(entries, 0x8000'001e).value();
            BOOST_TEST(place.eax == cpu);
            BOOST_TEST(place.ebx == cpu);  // one thread a core
            BOOST_TEST(place.ecx == 0u);   // one node
            BOOST_TEST((find(entries, 0x8000'001d, 0).value().eax >> 14 & 0xfff) == 0u);
            BOOST_TEST((find(entries, 0x8000'001d, 1).value().eax >> 14 & 0xfff) == cpus - 1);
            BOOST_TEST(find(entries, 0x8000'001d, 2).value().eax == 0u);
            BOOST_TEST(!find(entries, 0x8000'0026));
        }
    }
}

BOOST_AUTO_TEST_CASE(kvm_s_timing_leaf_has_both_frequencies_and_is_within_reach) {
    auto entries = amd_host();
    show_frequencies(entries, 2'445'406);
    const auto timing = find(entries, 0x4000'0010).value();
    BOOST_TEST(timing.eax == 2'445'406u);
    BOOST_TEST(timing.ebx == 1'000'000u);
    BOOST_TEST(find(entries, 0x4000'0000).value().eax == 0x4000'0010u);
    BOOST_TEST(find(entries, 0x4000'0000).value().ebx == 0x4b4d'564bu);
    BOOST_TEST(!find(entries, 0x15));
    auto again = entries;
    show_frequencies(again, 2'445'406);
    BOOST_TEST(again.size() == entries.size());
}

BOOST_AUTO_TEST_CASE(intel_s_leaves_give_the_same_frequency) {
    auto entries = intel_host();
    show_frequencies(entries, 2'445'406);
    const auto counter = find(entries, 0x15).value();
    BOOST_REQUIRE(counter.eax != 0u);
    BOOST_TEST(std::uint64_t{counter.ecx} * counter.ebx / counter.eax == 2'445'406'000u);
    BOOST_TEST(counter.ecx == 1'000'000'000u);
    BOOST_TEST(find(entries, 0x16).value().eax == 2445u);

    auto told = intel_host();
    for (auto& entry : told) {
        if (entry.function == 0x15) entry = leaf(0x15, 0, 2, 200, 24'000'000, 0);
    }
    show_frequencies(told, 2'400'000);
    BOOST_TEST(find(told, 0x15).value().ebx == 200u);  // what KVM says is not changed

    auto old = intel_host();
    std::erase_if(old, [](const auto& entry) { return entry.function == 0x15 || entry.function == 0x16; });
    old.front().eax = 0xd;
    show_frequencies(old, 2'400'000);
    BOOST_TEST(!find(old, 0x15));
    BOOST_TEST(!find(old, 0x16));
}

BOOST_AUTO_TEST_CASE(an_unknown_frequency_changes_nothing) {
    auto entries = intel_host();
    show_frequencies(entries, 0);
    BOOST_TEST(!find(entries, 0x4000'0010));
    BOOST_TEST(find(entries, 0x4000'0000).value().eax == 0x4000'0001u);
    BOOST_TEST(find(entries, 0x15).value().ecx == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
