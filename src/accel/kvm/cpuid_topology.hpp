/// What CPUID says of a machine's CPUs as a whole: how many there are, how they belong together, how fast they count. Pure.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <vector>

namespace asyncvm::kvm {

/// Makes `entries`, which KVM_GET_SUPPORTED_CPUID gave, show `cpus` cores of one thread each in one package, with the APIC
/// IDs 0 to cpus - 1, in every leaf that the processor has for it. KVM shows the host's topology there, or none. What
/// differs from one vCPU to the next is cpuid_of()'s.
void show_topology(std::vector<kvm_cpuid_entry2>& entries, unsigned cpus);

/// Makes `entries` show the frequency of the time stamp counter, and of the local APICs' timer, which is 1 GHz on KVM: in
/// leaf 0x40000010, as VMware has it, and in Intel's leaves 0x15 and 0x16 where they are empty. A frequency of 0 is unknown:
/// nothing changes.
void show_frequencies(std::vector<kvm_cpuid_entry2>& entries, std::uint32_t tsc_khz);

}  // namespace asyncvm::kvm
