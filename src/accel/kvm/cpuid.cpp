#include "accel/kvm/cpuid.hpp"

#include <asm/kvm_para.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

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
            ioctl_failed("KVM_GET_SUPPORTED_CPUID");
        }
    }
}

void remove_local_apic(std::span<kvm_cpuid_entry2> entries) noexcept {
    // KVM's own page-fault, end-of-interrupt and interrupt services (KVM_FEATURE_*) go through the local APIC too.
    constexpr std::uint32_t kvm_services = 1u << 4 | 1u << 6 | 1u << 7 | 1u << 10 | 1u << 11 | 1u << 14 | 1u << 15;
    for (kvm_cpuid_entry2& entry : entries) {
        switch (entry.function) {
            case 1:
                entry.ecx &= ~(1u << 21 | 1u << 24);  // x2APIC, TSC deadline
                entry.edx &= ~(1u << 9);              // APIC
                break;
            case 6:
                entry.eax &= ~(1u << 2);  // an APIC timer that always runs
                break;
            case KVM_CPUID_FEATURES:
                entry.eax &= ~kvm_services;
                break;
            case 0x8000'0001:
                entry.ecx &= ~(1u << 3);  // AMD's extended APIC space
                entry.edx &= ~(1u << 9);  // AMD's copy of APIC
                break;
            default:
                break;
        }
    }
}

void disable_local_apic(const Fd& cpu) {
    kvm_sregs sregs{};
    if (cpu.control(KVM_GET_SREGS, &sregs) != 0) ioctl_failed("KVM_GET_SREGS");
    sregs.apic_base = 0;
    if (cpu.control(KVM_SET_SREGS, &sregs) != 0) ioctl_failed("KVM_SET_SREGS");
}

std::vector<kvm_cpuid_entry2> cpuid_of(std::vector<kvm_cpuid_entry2> entries, unsigned index) {
    for (kvm_cpuid_entry2& entry : entries) {
        if (entry.function == 1) entry.ebx = (entry.ebx & 0x00ff'ffff) | index << 24;
        if (entry.function == 0xb || entry.function == 0x1f) entry.edx = index;
        if (entry.function == 0x8000'001e) {
            entry.eax = index;
            entry.ebx = (entry.ebx & ~0xffu) | (index & 0xff);  // the core
        }
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
            ioctl_failed("KVM_GET_CPUID2");
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
        ioctl_failed("KVM_SET_CPUID2");
    }
}

}  // namespace asyncvm::kvm
