#include "accel/kvm/cpuid.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <system_error>

#include "accel/kvm/sized_list.hpp"

namespace asyncvm::kvm {

namespace {

using CpuidList = SizedList<CountFlagsHeader, kvm_cpuid_entry2>;  // struct kvm_cpuid2

constexpr unsigned long get_supported_cpuid = _IOWR(KVMIO, 0x05, CountFlagsHeader);
constexpr unsigned long set_cpuid2 = _IOW(KVMIO, 0x90, CountFlagsHeader);
constexpr unsigned long get_cpuid2 = _IOWR(KVMIO, 0x91, CountFlagsHeader);

constexpr std::size_t most_entries = 4096;

}  // namespace

std::vector<kvm_cpuid_entry2> supported_cpuid(const Fd& system) {
    for (std::size_t room = 128;; room *= 2) {
        const CpuidList list(room);
        if (system.control(get_supported_cpuid, list.header()) == 0) return {list.entries().begin(), list.entries().end()};
        if (errno != E2BIG || room > most_entries) {
            throw Error(ErrorKind::host,
                        fmt::format("KVM_GET_SUPPORTED_CPUID failed: {}", std::generic_category().message(errno)));
        }
    }
}

std::vector<kvm_cpuid_entry2> cpuid_of(std::vector<kvm_cpuid_entry2> entries, unsigned index) {
    for (kvm_cpuid_entry2& entry : entries) {
        if (entry.function == 1) entry.ebx = (entry.ebx & 0x00ff'ffff) | index << 24;
        if (entry.function == 0xb || entry.function == 0x1f) entry.edx = index;
    }
    return entries;
}

void set_cpuid(const Fd& cpu, const std::vector<kvm_cpuid_entry2>& entries, unsigned index) {
    write_cpuid(cpu, cpuid_of(entries, index));
}

std::vector<kvm_cpuid_entry2> read_cpuid(const Fd& cpu) {
    for (std::size_t room = 128;; room *= 2) {
        const CpuidList list(room);
        if (cpu.control(get_cpuid2, list.header()) == 0) return {list.entries().begin(), list.entries().end()};
        if (errno != E2BIG || room > most_entries) {
            throw Error(ErrorKind::host, fmt::format("KVM_GET_CPUID2 failed: {}", std::generic_category().message(errno)));
        }
    }
}

bool same_cpuid(std::span<const kvm_cpuid_entry2> left, std::span<const kvm_cpuid_entry2> right) {
    const auto fixed_part = [](kvm_cpuid_entry2 entry) {
        if (entry.function == 1) {
            entry.ecx &= ~(1u << 27 | 1u << 3);  // OSXSAVE, MONITOR
            entry.edx &= ~(1u << 9);             // APIC
        } else if (entry.function == 7 && entry.index == 0) {
            entry.ecx &= ~(1u << 4);  // OSPKE
        } else if (entry.function == 0xd && entry.index < 2) {
            entry.ebx = 0;  // the size of what XCR0 and IA32_XSS enable
        }
        return std::array{entry.function, entry.index, entry.eax, entry.ebx, entry.ecx, entry.edx};
    };
    return std::ranges::equal(left, right, {}, fixed_part, fixed_part);
}

void write_cpuid(const Fd& cpu, const std::vector<kvm_cpuid_entry2>& entries) {
    const CpuidList list{std::span(entries)};
    if (cpu.control(set_cpuid2, list.header()) != 0) {
        throw Error(ErrorKind::host, fmt::format("KVM_SET_CPUID2 failed: {}", std::generic_category().message(errno)));
    }
}

}  // namespace asyncvm::kvm
