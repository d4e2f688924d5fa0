#include "accel/kvm/cpuid_trial.hpp"

#include <asyncvm/guest_memory.hpp>

#include <array>
#include <cstring>

#include "accel/kvm/cpuid.hpp"

namespace asyncvm::kvm {

namespace {

constexpr std::uint64_t page_size = GuestMemory::page_size;
constexpr std::uint64_t code_address = page_size;              // not 0: real mode's interrupt vectors are there
constexpr std::array<std::uint8_t, 3> code{0x0f, 0xa2, 0xf4};  // cpuid; hlt

}  // namespace

CpuidTrial::CpuidTrial(const Fd& system, std::size_t run_size, const std::vector<kvm_cpuid_entry2>& entries, bool local_apic)
    : page_(mmap(nullptr, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    do {
        vm_ = Fd(system.control(KVM_CREATE_VM, 0));
    } while (vm_.get() < 0 && errno == EINTR);
    if (vm_.get() < 0 || page_ == MAP_FAILED) ioctl_failed("making a machine to try CPUID with");
    std::memcpy(page_, code.data(), code.size());
    if (system.control(KVM_CHECK_EXTENSION, KVM_CAP_SET_TSS_ADDR) > 0) {
        vm_.control(KVM_SET_TSS_ADDR, GuestMemory::accelerator_pages_base + page_size);
    }
    kvm_userspace_memory_region region{};
    region.guest_phys_addr = code_address;
    region.memory_size = page_size;
    region.userspace_addr = reinterpret_cast<std::uint64_t>(page_);
    if (vm_.control(KVM_SET_USER_MEMORY_REGION, &region) != 0) ioctl_failed("KVM_SET_USER_MEMORY_REGION");
    cpu_.emplace(vm_.control(KVM_CREATE_VCPU, 0));
    if (cpu_->get() < 0) ioctl_failed("KVM_CREATE_VCPU");
    set_cpuid(*cpu_, entries, 0);
    if (!local_apic) disable_local_apic(*cpu_);
    kvm_sregs sregs{};
    if (cpu_->control(KVM_GET_SREGS, &sregs) != 0) ioctl_failed("KVM_GET_SREGS");
    sregs.cs.selector = 0;
    sregs.cs.base = 0;
    if (cpu_->control(KVM_SET_SREGS, &sregs) != 0) ioctl_failed("KVM_SET_SREGS");
    run_.emplace(*cpu_, run_size);
    if (run_->get() == nullptr) ioctl_failed("mapping a vCPU's shared page");
}

CpuidTrial::~CpuidTrial() {
    if (page_ != MAP_FAILED) munmap(page_, page_size);
}

std::optional<kvm_cpuid_entry2> CpuidTrial::ask(std::uint32_t leaf, std::uint32_t subleaf) {
    kvm_regs regs{};
    regs.rax = leaf;
    regs.rcx = subleaf;
    regs.rip = code_address;
    regs.rflags = 2;
    if (cpu_->control(KVM_SET_REGS, &regs) != 0) ioctl_failed("KVM_SET_REGS");
    int result = 0;
    do {
        result = cpu_->control(KVM_RUN, 0);
    } while (result != 0 && (errno == EINTR || errno == EAGAIN));
    if (result != 0 || reinterpret_cast<const kvm_run*>(run_->get())->exit_reason != KVM_EXIT_HLT) return std::nullopt;
    if (cpu_->control(KVM_GET_REGS, &regs) != 0) ioctl_failed("KVM_GET_REGS");
    kvm_cpuid_entry2 answer{};
    answer.function = leaf;
    answer.index = subleaf;
    answer.eax = static_cast<std::uint32_t>(regs.rax);
    answer.ebx = static_cast<std::uint32_t>(regs.rbx);
    answer.ecx = static_cast<std::uint32_t>(regs.rcx);
    answer.edx = static_cast<std::uint32_t>(regs.rdx);
    return answer;
}

}  // namespace asyncvm::kvm
