#include "accel/kvm/cpuid.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <system_error>

namespace asyncvm::kvm {

namespace {

/// struct kvm_cpuid2 with room for its entries. Ours, because in C++ the kernel's own header (before Linux 6.7) gives its
/// flexible array another place and the structure another size, on which the numbers of the ioctls depend.
class CpuidBuffer {
public:
    struct Header {
        std::uint32_t nent;
        std::uint32_t padding;
    };
    static constexpr unsigned long get_supported = _IOWR(KVMIO, 0x05, Header);
    static constexpr unsigned long set = _IOW(KVMIO, 0x90, Header);

    explicit CpuidBuffer(std::size_t entries)
        : storage_(std::make_unique<std::byte[]>(sizeof(Header) + entries * sizeof(kvm_cpuid_entry2))) {
        header()->nent = static_cast<std::uint32_t>(entries);
    }
    [[nodiscard]] Header* header() const noexcept { return reinterpret_cast<Header*>(storage_.get()); }
    [[nodiscard]] kvm_cpuid_entry2* entries() const noexcept {
        return reinterpret_cast<kvm_cpuid_entry2*>(storage_.get() + sizeof(Header));
    }

private:
    std::unique_ptr<std::byte[]> storage_;
};

}  // namespace

std::vector<kvm_cpuid_entry2> supported_cpuid(const Fd& system) {
    for (std::size_t room = 128;; room *= 2) {
        const CpuidBuffer buffer(room);
        if (system.control(CpuidBuffer::get_supported, buffer.header()) == 0) {
            return {buffer.entries(), buffer.entries() + buffer.header()->nent};
        }
        if (errno != E2BIG || room > 4096) {
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
    const auto own = cpuid_of(entries, index);
    const CpuidBuffer buffer(own.size());
    std::memcpy(buffer.entries(), own.data(), own.size() * sizeof(kvm_cpuid_entry2));
    if (cpu.control(CpuidBuffer::set, buffer.header()) != 0) {
        throw Error(ErrorKind::host, fmt::format("KVM_SET_CPUID2 failed: {}", std::generic_category().message(errno)));
    }
}

}  // namespace asyncvm::kvm
