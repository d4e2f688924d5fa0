#define BOOST_TEST_MODULE cpu_features
#include "accel/kvm/cpu_features.hpp"
#include "accel/kvm/cpuid.hpp"

#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include <map>
#include <set>
#include <string>
#include <tuple>

using namespace asyncvm;
using namespace asyncvm::kvm;

namespace {

/// Sees both the kind and a part of the message.
struct Says {
    ErrorKind kind;
    std::string text;
    bool operator()(const Error& error) const {
        BOOST_TEST_MESSAGE(error.what());
        return error.kind() == kind && std::string(error.what()).find(text) != std::string::npos;
    }
};

kvm_cpuid_entry2 leaf(std::uint32_t function, std::uint32_t index = 0) {
    kvm_cpuid_entry2 entry{};
    entry.function = function;
    entry.index = index;
    entry.eax = entry.ebx = entry.ecx = entry.edx = 0xffff'ffff;
    return entry;
}

}  // namespace

BOOST_AUTO_TEST_CASE(well_known_bits_are_where_the_manuals_say) {
    const std::map<std::string_view, std::tuple<std::uint32_t, std::uint32_t kvm_cpuid_entry2::*, unsigned>> known{
        {"sse2", {1, &kvm_cpuid_entry2::edx, 26}},        {"sse4-2", {1, &kvm_cpuid_entry2::ecx, 20}},
        {"popcnt", {1, &kvm_cpuid_entry2::ecx, 23}},      {"x2apic", {1, &kvm_cpuid_entry2::ecx, 21}},
        {"rdrand", {1, &kvm_cpuid_entry2::ecx, 30}},      {"hypervisor", {1, &kvm_cpuid_entry2::ecx, 31}},
        {"avx2", {7, &kvm_cpuid_entry2::ebx, 5}},         {"la57", {7, &kvm_cpuid_entry2::ecx, 16}},
        {"nx", {0x80000001, &kvm_cpuid_entry2::edx, 20}}, {"pdpe1gb", {0x80000001, &kvm_cpuid_entry2::edx, 26}},
        {"lm", {0x80000001, &kvm_cpuid_entry2::edx, 29}}, {"svm", {0x80000001, &kvm_cpuid_entry2::ecx, 2}},
    };
    std::size_t found = 0;
    for (const CpuFeature& feature : cpu_features()) {
        const auto place = known.find(feature.name);
        if (place == known.end()) continue;
        ++found;
        BOOST_TEST_CONTEXT(feature.name) {
            BOOST_TEST((place->second == std::tuple(feature.leaf, feature.where, feature.bit)));
        }
    }
    BOOST_TEST(found == known.size());
}

BOOST_AUTO_TEST_CASE(no_name_is_twice_in_one_leaf_and_all_are_in_the_table_s_spelling) {
    std::set<std::tuple<std::string_view, std::uint32_t>> seen;
    for (const CpuFeature& feature : cpu_features()) {
        BOOST_TEST_CONTEXT(feature.name) {
            BOOST_TEST(seen.emplace(feature.name, feature.leaf).second);
            BOOST_TEST(feature.bit < 32u);
            BOOST_TEST(feature.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_list_is_understood_in_every_usual_spelling) {
    const auto changes = parse_cpu_features("+SSE4.2,-sse4_1,-avx");
    BOOST_REQUIRE(changes.size() == 3u);
    BOOST_TEST(changes[0].name == "sse4-2");
    BOOST_TEST(changes[0].on);
    BOOST_TEST(changes[1].name == "sse4-1");
    BOOST_TEST(!changes[1].on);
    BOOST_TEST(parse_cpu_features("").empty());
}

BOOST_AUTO_TEST_CASE(mistakes_are_named) {
    BOOST_CHECK_EXCEPTION(static_cast<void>(parse_cpu_features("avx")), Error,
                          (Says{ErrorKind::usage, "\"avx\" begins with neither"}));
    BOOST_CHECK_EXCEPTION(static_cast<void>(parse_cpu_features("-avx,")), Error,
                          (Says{ErrorKind::usage, "begins with neither"}));
    BOOST_CHECK_EXCEPTION(static_cast<void>(parse_cpu_features(",-avx")), Error,
                          (Says{ErrorKind::usage, "begins with neither"}));
    BOOST_CHECK_EXCEPTION(static_cast<void>(parse_cpu_features("-popcntt")), Error,
                          (Says{ErrorKind::usage, "did you mean popcnt?"}));
    BOOST_CHECK_EXCEPTION(static_cast<void>(parse_cpu_features("+")), Error, (Says{ErrorKind::usage, "no CPU feature"}));
    BOOST_CHECK_EXCEPTION(static_cast<void>(parse_cpu_features("-" + std::string(100'000, 'x'))), Error,
                          (Says{ErrorKind::usage, "/proc/cpuinfo"}));
}

BOOST_AUTO_TEST_CASE(a_mask_takes_its_bit_and_no_other) {
    std::vector entries{leaf(1), leaf(7), leaf(7, 1)};
    apply_cpu_features(entries, parse_cpu_features("-popcnt,-avx2"));
    BOOST_TEST(entries[0].ecx == ~(1u << 23));
    BOOST_TEST(entries[0].edx == 0xffff'ffffu);
    BOOST_TEST(entries[1].ebx == ~(1u << 5));
    BOOST_TEST(entries[2].ebx == 0xffff'ffffu);
}

BOOST_AUTO_TEST_CASE(a_feature_in_two_leaves_goes_from_both) {
    std::vector entries{leaf(1), leaf(0x80000001)};
    apply_cpu_features(entries, parse_cpu_features("-mmx"));
    BOOST_TEST(entries[0].edx == ~(1u << 23));
    BOOST_TEST(entries[1].edx == ~(1u << 23));
}

BOOST_AUTO_TEST_CASE(the_last_word_on_a_feature_counts) {
    std::vector entries{leaf(1)};
    apply_cpu_features(entries, parse_cpu_features("-popcnt,+popcnt"));
    BOOST_TEST(entries[0].ecx == 0xffff'ffffu);
    apply_cpu_features(entries, parse_cpu_features("+popcnt,-popcnt"));
    BOOST_TEST(entries[0].ecx == ~(1u << 23));
}

BOOST_AUTO_TEST_CASE(a_feature_that_the_last_word_takes_away_need_not_be_there) {
    std::vector entries{leaf(1)};
    entries[0].ecx = 0;
    apply_cpu_features(entries, parse_cpu_features("+avx,-avx"));
    BOOST_CHECK_THROW(apply_cpu_features(entries, parse_cpu_features("-avx,+avx")), Error);
}

BOOST_AUTO_TEST_CASE(a_machine_without_a_local_apic_shows_nothing_of_one) {
    std::vector entries{leaf(1), leaf(6), leaf(0x40000001), leaf(0x80000001), leaf(7)};
    remove_local_apic(entries);
    BOOST_TEST(entries[0].edx == ~(1u << 9));
    BOOST_TEST(entries[0].ecx == ~(1u << 21 | 1u << 24));
    BOOST_TEST(entries[1].eax == ~(1u << 2));
    BOOST_TEST((entries[2].eax & 1u << 6) == 0u);
    BOOST_TEST((entries[2].eax & 1u << 3) != 0u);  // the clock needs none
    BOOST_TEST(entries[3].edx == ~(1u << 9));
    BOOST_TEST(entries[3].ecx == ~(1u << 3));
    BOOST_TEST(entries[4].ebx == ~0u);
}

BOOST_AUTO_TEST_CASE(a_change_that_the_guest_does_not_see_is_refused) {
    const auto changes = parse_cpu_features("-avx,-popcnt,-mmx");
    std::vector entries{leaf(1), leaf(0x80000001)};
    apply_cpu_features(entries, changes);
    const auto honest = [&](std::uint32_t function, std::uint32_t) { return std::optional(entries[function == 1 ? 0 : 1]); };
    check_cpu_features(entries, changes, honest);
    check_cpu_features(entries, changes, [](std::uint32_t, std::uint32_t) { return std::nullopt; });
    const auto in_one_leaf = [&](std::uint32_t function, std::uint32_t subleaf) {
        auto answer = honest(function, subleaf);
        if (function == 0x80000001) answer->edx |= 1u << 23;
        return answer;
    };
    BOOST_CHECK_EXCEPTION(check_cpu_features(entries, changes, in_one_leaf), Error,
                          (Says{ErrorKind::host, "still shows mmx"}));
}

BOOST_AUTO_TEST_CASE(what_the_host_lacks_can_t_be_given) {
    std::vector entries{leaf(1)};
    entries[0].ecx = 0;
    BOOST_CHECK_EXCEPTION(apply_cpu_features(entries, parse_cpu_features("+popcnt")), Error,
                          (Says{ErrorKind::host, "no CPU feature popcnt"}));
    BOOST_CHECK_EXCEPTION(apply_cpu_features(entries, parse_cpu_features("+avx2")), Error,
                          (Says{ErrorKind::host, "leave out +avx2"}));
    apply_cpu_features(entries, parse_cpu_features("-avx2"));
    BOOST_TEST(entries.size() == 1u);
}
