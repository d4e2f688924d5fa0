#include <asyncvm/accelerator.hpp>
#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kvm.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "accel/kvm/coalesced_ring.hpp"
#include "accel/kvm/cpu.hpp"
#include "accel/kvm/cpu_features.hpp"
#include "accel/kvm/cpuid.hpp"
#include "accel/kvm/cpuid_query.hpp"
#include "accel/kvm/cpuid_topology.hpp"
#include "accel/kvm/cpuid_trial.hpp"
#include "accel/kvm/fd.hpp"
#include "accel/kvm/irqchip.hpp"
#include "accel/kvm/kick.hpp"
#include "text/errno_text.hpp"

namespace asyncvm::kvm {

namespace {

/// Three pages that Intel's processors without unrestricted guests need for real mode. KVM's identity map is the page
/// before.
constexpr unsigned long tss_address = GuestMemory::accelerator_pages_base + GuestMemory::page_size;

std::string open_advice(int error) {
    switch (error) {
        case ENOENT:
            return "load the module kvm-intel or kvm-amd; in a container pass --device /dev/kvm; in a virtual machine turn "
                   "nested virtualisation on";
        case EACCES:
        case EPERM:
            return "add yourself to group kvm: `sudo usermod -aG kvm $USER`, then log in again";
        case ENODEV:
        case ENXIO:
            return "the module kvm-intel or kvm-amd is not loaded, or virtualisation is off in the firmware's settings";
        case EBUSY:
            return "another hypervisor holds the processor's virtualisation: end it";
        case EMFILE:
        case ENFILE:
            return "too many open files: raise the limit that `ulimit -n` shows";
        default:
            return {};
    }
}

[[noreturn]] void fail(const std::string& what, int error, const std::string& advice) {
    const std::string why = reason(error);
    throw Error(ErrorKind::host,
                advice.empty() ? fmt::format("{}: {}", what, why) : fmt::format("{}: {} ({})", what, why, advice));
}

kvm_ioeventfd ioeventfd(Space space, std::uint64_t address, const Doorbell& doorbell, int eventfd) noexcept {
    kvm_ioeventfd request{};
    request.addr = address;
    request.len = doorbell.size;
    request.fd = eventfd;
    if (space == Space::port) request.flags |= KVM_IOEVENTFD_FLAG_PIO;
    if (doorbell.data) {
        request.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
        request.datamatch = *doorbell.data;
    }
    return request;
}

class KvmAccelerator final : public Accelerator {
public:
    explicit KvmAccelerator(const KvmOptions& options) : cpus_(std::max(options.cpus, 1u)) {
        common_.kick_signal = claim_kick_signal(options.kick_signal);
        const char* const path = options.path;
        Fd system(::open(path, O_RDWR | O_CLOEXEC));
        if (system.get() < 0) fail(fmt::format("cannot open {}", path), errno, open_advice(errno));
        system_ = std::make_shared<const Fd>(std::move(system));
        const int version = system_->control(KVM_GET_API_VERSION, 0);
        if (version < 0) fail(fmt::format("{} is not KVM's device", path), errno, "it must be the character device 10, 232");
        if (version != KVM_API_VERSION) {
            throw Error(ErrorKind::host,
                        fmt::format("{} speaks version {} of the KVM API, asyncvm needs {} (Linux 2.6.22 or later)", path,
                                    version, KVM_API_VERSION));
        }
        require(KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY", "2.6.25");
        require(KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", "4.11");
        require(KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID", "2.6.26");
        const int run_size = system_->control(KVM_GET_VCPU_MMAP_SIZE, 0);
        if (run_size < static_cast<int>(sizeof(kvm_run))) fail("KVM_GET_VCPU_MMAP_SIZE failed", errno, {});
        common_.run_size = static_cast<std::size_t>(run_size);
        cpuid_query_ = CpuidQuery::shared(system_);
        do {
            vm_ = Fd(system_->control(KVM_CREATE_VM, 0));
        } while (vm_.get() < 0 && errno == EINTR);
        if (vm_.get() < 0) {
            fail("cannot make a virtual machine (KVM_CREATE_VM)", errno,
                 errno == ENOMEM ? "the host is out of memory" : open_advice(errno));
        }
        if (system_->control(KVM_CHECK_EXTENSION, KVM_CAP_SET_TSS_ADDR) > 0 &&
            vm_.control(KVM_SET_TSS_ADDR, tss_address) != 0) {
            fail("KVM_SET_TSS_ADDR failed", errno, {});
        }
        for (const GuestMemory::Region& region : options.memory) map(region);
        if (options.irqchip) irqchip_ = std::make_unique<KvmIrqchip>(vm_, options.pit);
        common_.irqchip = irqchip_.get();
        state_io_.emplace(*system_, vm_, options.irqchip, options.irqchip && options.pit);
        common_.state_io = &*state_io_;
        const int sync = vm_.control(KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);
        common_.sync_regs = sync > 0 && (sync & KVM_SYNC_X86_REGS) != 0;
        common_.sync_sregs = common_.sync_regs && (sync & KVM_SYNC_X86_SREGS) != 0;
        if (vm_.control(KVM_CHECK_EXTENSION, KVM_CAP_EXIT_ON_EMULATION_FAILURE) > 0) {
            kvm_enable_cap capability{};
            capability.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE;
            capability.args[0] = 1;
            // Without it an instruction of user mode that can't be emulated gives the guest #UD: worse, but no reason to
            // stop.
            vm_.control(KVM_ENABLE_CAP, &capability);
        }
        // What a host can't give is said here. A machine without changes need not wait for KVM's answer yet.
        if (!options.cpu_features.empty()) change_cpu_features(parse_cpu_features(options.cpu_features));
    }

    [[nodiscard]] std::string_view name() const noexcept override { return "kvm"; }

    void map(const GuestMemory& memory) override {
        for (const GuestMemory::Region& region : memory.regions()) {
            if (std::ranges::find(mapped_, region.address) == mapped_.end()) map(region);
        }
    }

    [[nodiscard]] std::unique_ptr<Cpu> create_cpu(unsigned index) override {
        Fd cpu(vm_.control(KVM_CREATE_VCPU, static_cast<unsigned long>(index)));
        if (cpu.get() < 0) {
            const int error = errno;
            const int most = vm_.control(KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
            fail(fmt::format("cannot make vCPU {} (KVM_CREATE_VCPU)", index), error,
                 error == EINVAL && most > 0 ? fmt::format("this host allows {} vCPUs: take fewer with --cpus", most)
                                             : open_advice(error));
        }
        if (irqchip_ && !std::exchange(frequencies_shown_, true)) {
            const int khz = cpu.control(KVM_GET_TSC_KHZ, 0);  // fails where the host's counter is not stable
            show_frequencies(cpuid(), khz > 0 ? static_cast<std::uint32_t>(khz) : 0);
        }
        set_cpuid(cpu, cpuid(), index);
        if (!irqchip_) disable_local_apic(cpu);
        if (!coalesced_) coalesced_ = KvmCoalescedRing::make(vm_, cpu);
        return std::make_unique<KvmCpu>(std::move(cpu), index, common_);
    }

    bool connect_doorbell(Space space, std::uint64_t address, const Doorbell& doorbell, int eventfd) noexcept override {
        kvm_ioeventfd request = ioeventfd(space, address, doorbell, eventfd);
        return vm_.control(KVM_IOEVENTFD, &request) == 0;
    }

    void disconnect_doorbell(Space space, std::uint64_t address, const Doorbell& doorbell, int eventfd) noexcept override {
        kvm_ioeventfd request = ioeventfd(space, address, doorbell, eventfd);
        request.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
        vm_.control(KVM_IOEVENTFD, &request);
    }

    [[nodiscard]] CoalescedRing* posted_writes() noexcept override { return coalesced_.get(); }
    [[nodiscard]] InterruptController* irqchip() noexcept override { return irqchip_.get(); }
    [[nodiscard]] VmState save_state() override { return state_io_->save_vm(); }
    void restore_state(const VmState& state) override { state_io_->restore_vm(state); }

private:
    void map(const GuestMemory::Region& region) {
        kvm_userspace_memory_region description{};
        description.slot = static_cast<std::uint32_t>(mapped_.size());
        description.guest_phys_addr = region.address;
        description.memory_size = region.bytes.size();
        description.userspace_addr = reinterpret_cast<std::uint64_t>(region.bytes.data());
        mapped_.push_back(region.address);
        if (vm_.control(KVM_SET_USER_MEMORY_REGION, &description) != 0) {
            fail(fmt::format("KVM refuses guest memory ({}, {} MiB at {:#x})", region.name, region.bytes.size() >> 20,
                             region.address),
                 errno, errno == ENOMEM ? "the host is out of memory: ask for less with --memory" : std::string());
        }
    }

    /// What the guests see.
    std::vector<kvm_cpuid_entry2>& cpuid() {
        if (!cpuid_.empty()) return cpuid_;
        cpuid_ = cpuid_query_->answer();
        if (!irqchip_) remove_local_apic(cpuid_);
        if (irqchip_) show_topology(cpuid_, cpus_);
        // Most kernels leave it to us to say what their local APIC can do.
        if (irqchip_ && vm_.control(KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0) {
            for (kvm_cpuid_entry2& entry : cpuid_) {
                if (entry.function == 1) entry.ecx |= 1u << 24;
            }
        }
        return cpuid_;
    }

    /// Throws Error if the guest would not see these changes.
    void change_cpu_features(std::span<const CpuFeatureChange> changes) {
        check_changeable(changes, irqchip_ != nullptr);
        apply_cpu_features(cpuid(), changes);
        CpuidTrial trial(*system_, common_.run_size, cpuid(), irqchip_ != nullptr);
        check_cpu_features(cpuid(), changes,
                           [&trial](std::uint32_t leaf, std::uint32_t subleaf) { return trial.ask(leaf, subleaf); });
    }

    void require(unsigned long capability, const char* name, const char* since) const {
        if (system_->control(KVM_CHECK_EXTENSION, capability) > 0) return;
        throw Error(ErrorKind::host,
                    fmt::format("this host's KVM lacks {} (Linux has it since {}: update the kernel)", name, since));
    }

    std::shared_ptr<const Fd> system_;
    Fd vm_;
    std::vector<std::uint64_t> mapped_;  ///< addresses of the regions, in the order of their slots
    std::unique_ptr<KvmIrqchip> irqchip_;
    std::optional<StateIo> state_io_;
    KvmCpu::Common common_;
    std::shared_ptr<CpuidQuery> cpuid_query_;
    std::vector<kvm_cpuid_entry2> cpuid_;
    unsigned cpus_;
    bool frequencies_shown_ = false;
    std::unique_ptr<KvmCoalescedRing> coalesced_;
};

}  // namespace

}  // namespace asyncvm::kvm

std::unique_ptr<asyncvm::Accelerator> asyncvm::make_kvm_accelerator(const KvmOptions& options) {
    return std::make_unique<kvm::KvmAccelerator>(options);
}

std::shared_ptr<void> asyncvm::expect_kvm_accelerator(const KvmOptions& options) {
    kvm::Fd system(::open(options.path, O_RDWR | O_CLOEXEC));
    if (system.control(KVM_GET_API_VERSION, 0) < 0) return nullptr;
    return kvm::CpuidQuery::shared(std::make_shared<const kvm::Fd>(std::move(system)));
}
