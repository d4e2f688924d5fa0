#include "accel/kvm/cpuid_topology.hpp"

#include <asm/kvm_para.h>

#include <algorithm>
#include <bit>
#include <initializer_list>

namespace asyncvm::kvm {

namespace {

using Entries = std::vector<kvm_cpuid_entry2>;

constexpr std::uint32_t basic = 0, kvm_leaves = KVM_CPUID_SIGNATURE, timing_leaf = 0x4000'0010;

kvm_cpuid_entry2* find_leaf(Entries& entries, std::uint32_t leaf) {
    const auto found = std::ranges::find(entries, leaf, &kvm_cpuid_entry2::function);
    return found != entries.end() ? &*found : nullptr;
}

kvm_cpuid_entry2& leaf_made(Entries& entries, std::uint32_t leaf) {
    if (auto* const entry = find_leaf(entries, leaf)) return *entry;
    entries.push_back({});
    entries.back().function = leaf;
    return entries.back();
}

/// The last leaf of the basic ones.
std::uint32_t last_basic(Entries& entries) {
    const auto* const entry = find_leaf(entries, basic);
    return entry != nullptr ? entry->eax : 0;
}

enum class Vendor : std::uint8_t { intel, amd, other };

Vendor vendor_of(Entries& entries) {
    const auto* const entry = find_leaf(entries, basic);
    if (entry == nullptr) return Vendor::other;
    constexpr std::uint32_t genu = 0x756e'6547, auth = 0x6874'7541, hygo = 0x6f67'7948;
    if (entry->ebx == genu) return Vendor::intel;
    return entry->ebx == auth || entry->ebx == hygo ? Vendor::amd : Vendor::other;
}

void put(std::uint32_t& word, unsigned shift, unsigned width, std::uint32_t value) {
    const std::uint32_t mask = ((1u << width) - 1) << shift;
    word = (word & ~mask) | (std::min(value, (1u << width) - 1) << shift);
}

/// Leaves 0xb and 0x1f: threads of a core, then cores of the package (Intel SDM vol. 2, CPUID; AMD APM vol. 3, E.3.9).
void add_levels(Entries& entries, std::uint32_t leaf, unsigned cpus) {
    constexpr std::uint32_t smt = 1, core = 2;
    const auto add = [&](std::uint32_t level, std::uint32_t type, std::uint32_t shift, std::uint32_t count) {
        kvm_cpuid_entry2 entry{};
        entry.function = leaf;
        entry.index = level;
        entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        entry.eax = shift;
        entry.ebx = count;
        entry.ecx = level | type << 8;
        entries.push_back(entry);
    };
    add(0, smt, 0, 1);
    add(1, core, static_cast<std::uint32_t>(std::bit_width(cpus - 1)), cpus);
    add(2, 0, 0, 0);
}

/// Caches: the first two levels belong to one core, the others to the package.
void share_caches(Entries& entries, std::uint32_t leaf, unsigned ids) {
    for (auto& entry : entries) {
        if (entry.function != leaf || (entry.eax & 0x1f) == 0) continue;  // a type of 0 ends the list
        const std::uint32_t level = entry.eax >> 5 & 7;
        put(entry.eax, 14, 12, level < 3 ? 0 : ids - 1);
    }
}

void show_amd_topology(Entries& entries, unsigned cpus) {
    const auto bits = static_cast<std::uint32_t>(std::bit_width(cpus - 1));
    if (auto* const entry = find_leaf(entries, 0x8000'0001)) {
        put(entry->ecx, 1, 1, cpus > 1 ? 1 : 0);  // CmpLegacy: the logical processors of leaf 1 are cores
    }
    if (auto* const entry = find_leaf(entries, 0x8000'0008)) {
        put(entry->ecx, 0, 8, cpus - 1);
        put(entry->ecx, 12, 4, bits);
    }
    if (auto* const entry = find_leaf(entries, 0x8000'001e)) {
        entry->ebx = entry->ecx = entry->edx = 0;  // one thread a core, one node; cpuid_of() has the numbers
    }
    share_caches(entries, 0x8000'001d, cpus);
    // The host's levels of cores, complexes and dies; without the leaf kernels take 0xb.
    std::erase_if(entries, [](const kvm_cpuid_entry2& entry) { return entry.function == 0x8000'0026; });
}

}  // namespace

void show_topology(Entries& entries, unsigned cpus) {
    const Vendor vendor = vendor_of(entries);
    if (auto* const entry = find_leaf(entries, 1)) {
        put(entry->ebx, 16, 8, cpus);
        put(entry->edx, 28, 1, cpus > 1 ? 1 : 0);  // HTT: the number in EBX counts
        entry->ecx |= 1u << 31;                    // a hypervisor is there
    }
    const std::uint32_t last = last_basic(entries);
    for (const std::uint32_t leaf : {0xbu, 0x1fu}) {
        std::erase_if(entries, [leaf](const kvm_cpuid_entry2& entry) { return entry.function == leaf; });
        // AMD has no leaf 0x1f.
        if (last >= leaf && (leaf == 0xb || vendor == Vendor::intel)) add_levels(entries, leaf, cpus);
    }
    const auto ids = std::bit_ceil(cpus);
    if (vendor == Vendor::intel) {
        share_caches(entries, 4, ids);
        for (auto& entry : entries) {
            if (entry.function == 4 && (entry.eax & 0x1f) != 0) put(entry.eax, 26, 6, ids - 1);
        }
    }
    if (vendor == Vendor::amd) show_amd_topology(entries, cpus);
}

void show_frequencies(Entries& entries, std::uint32_t tsc_khz) {
    constexpr std::uint32_t apic_khz = 1'000'000, khz_per_mhz = 1000;
    if (tsc_khz == 0) return;
    if (auto* const entry = find_leaf(entries, kvm_leaves)) {
        entry->eax = std::max(entry->eax, timing_leaf);
        auto& timing = leaf_made(entries, timing_leaf);
        timing.eax = tsc_khz;
        timing.ebx = apic_khz;
    }
    if (vendor_of(entries) != Vendor::intel) return;
    const std::uint32_t last = last_basic(entries);
    const auto empty = [&entries](std::uint32_t leaf) {
        const auto* const entry = find_leaf(entries, leaf);
        return entry == nullptr || (entry->eax | entry->ebx | entry->ecx | entry->edx) == 0;
    };
    if (last >= 0x15 && empty(0x15)) {
        // The counter's frequency is ECX Hz times EBX / EAX. Kernels take ECX for that of the local APIC's timer.
        auto& counter = leaf_made(entries, 0x15);
        counter.eax = apic_khz;
        counter.ebx = tsc_khz;
        counter.ecx = apic_khz * 1000;
    }
    if (last >= 0x16 && empty(0x16)) {
        auto& processor = leaf_made(entries, 0x16);
        processor.eax = processor.ebx = tsc_khz / khz_per_mhz;
        processor.ecx = 100;  // the bus, MHz
    }
}

}  // namespace asyncvm::kvm
