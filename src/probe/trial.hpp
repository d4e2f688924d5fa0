/// A throw-away virtual machine for one probe, with a limit of time.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/guest_memory.hpp>
#include <asyncvm/loader.hpp>

#include <linux/kvm.h>

#include <functional>
#include <memory>
#include <vector>

#include "accel/kvm/cpu.hpp"
#include "accel/kvm/fd.hpp"
#include "probe/code.hpp"
#include "probe/feature.hpp"
#include "probe/watchdog.hpp"

namespace asyncvm::probe {

struct Plan {
    Code code;
    Mode mode = Mode::real16;
    unsigned cpus = 1;
    bool irqchip = false;
    /// What the vCPUs' CPUID is set to: changes what the host supports.
    std::function<void(std::vector<kvm_cpuid_entry2>&)> edit_cpuid{};
};

/// Everything on the thread that made it, except where Trial itself says otherwise.
class Trial {
public:
    static constexpr std::uint64_t ram_size = 1 << 20;

    /// Throws Error(host).
    explicit Trial(const Plan& plan);

    [[nodiscard]] GuestMemory& memory() noexcept { return memory_; }
    [[nodiscard]] kvm::KvmCpu& cpu(unsigned index = 0) noexcept { return *cpus_[index]; }
    [[nodiscard]] const kvm::Fd& system() const noexcept { return system_; }
    [[nodiscard]] const kvm::Fd& vm() const noexcept { return vm_; }
    /// The descriptor of vCPU 0, for what Cpu has no function for.
    [[nodiscard]] const kvm::Fd& cpu_fd() const noexcept { return cpu_fd_; }
    [[nodiscard]] std::size_t run_size() const noexcept { return run_size_; }
    /// 16, 32 or 64: of the mode that it starts in.
    [[nodiscard]] unsigned bits() const noexcept;
    [[nodiscard]] int capability(unsigned long number) const noexcept { return vm_.control(KVM_CHECK_EXTENSION, number); }

private:
    [[nodiscard]] kvm::Fd make_cpu(unsigned index);

    Mode mode_;
    kvm::Fd system_;
    kvm::Fd vm_;
    GuestMemory memory_;
    std::size_t run_size_ = 0;
    std::vector<kvm_cpuid_entry2> cpuid_;
    kvm::Fd cpu_fd_;
    std::vector<std::unique_ptr<kvm::KvmCpu>> cpus_;
};

/// Enters the guest until it has something to say: Interrupted means that the time of `watchdog` is over.
[[nodiscard]] Exit next_exit(Cpu& cpu, const Watchdog& watchdog);

/// In words, for Verdict::why: "shut down at once (triple fault)". `bits` is how instructions are read: 16, 32 or 64.
[[nodiscard]] std::string describe(const Exit& exit, const Watchdog& watchdog, unsigned bits);

/// Runs the guest until it writes to the verdict port. `on_exit`, if given, sees every other exit; when it returns true the
/// trial has succeeded.
[[nodiscard]] Verdict judge(Trial& trial, const std::function<bool(const Exit&)>& on_exit = {});

}  // namespace asyncvm::probe
