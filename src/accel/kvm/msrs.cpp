#include "accel/kvm/msrs.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "accel/kvm/sized_list.hpp"

namespace asyncvm::kvm {

namespace {

using MsrList = SizedList<CountFlagsHeader, kvm_msr_entry>;

constexpr unsigned long get_msrs = _IOWR(KVMIO, 0x88, CountFlagsHeader);
constexpr unsigned long set_msrs = _IOW(KVMIO, 0x89, CountFlagsHeader);

}  // namespace

std::vector<kvm_msr_entry> read_msrs(const Fd& cpu, std::span<const std::uint32_t> indices) {
    std::vector<kvm_msr_entry> read;
    // KVM_GET_MSRS stops at the first that can't be read, and says so only by its count.
    while (!indices.empty()) {
        const MsrList list(indices.size());
        for (std::size_t i = 0; i < indices.size(); ++i) list.entries()[i].index = indices[i];
        const int count = cpu.control(get_msrs, list.header());
        if (count < 0) ioctl_failed("KVM_GET_MSRS");
        const auto done = std::min(static_cast<std::size_t>(count), indices.size());
        const auto entries = list.entries().first(done);
        read.insert(read.end(), entries.begin(), entries.end());
        indices = indices.subspan(std::min(done + 1, indices.size()));
    }
    return read;
}

void write_msrs(const Fd& cpu, std::span<const kvm_msr_entry> entries) {
    while (!entries.empty()) {
        const MsrList list(entries);
        const int count = cpu.control(set_msrs, list.header());
        if (count < 0) ioctl_failed("KVM_SET_MSRS");
        const auto done = static_cast<std::size_t>(count);
        if (done >= entries.size()) return;
        const kvm_msr_entry& refused = entries[done];
        const auto present = read_msrs(cpu, std::array{refused.index});
        if (present.empty() || present[0].data != refused.data) {
            throw Error(ErrorKind::host, fmt::format("this host does not take the saved value {:#x} of MSR {:#x}",
                                                     refused.data, refused.index));
        }
        entries = entries.subspan(done + 1);
    }
}

bool try_write_msr(const Fd& cpu, const kvm_msr_entry& entry) {
    const MsrList list(std::span(&entry, 1));
    const int count = cpu.control(set_msrs, list.header());
    if (count < 0) ioctl_failed("KVM_SET_MSRS");
    return count == 1;
}

}  // namespace asyncvm::kvm
