/// What the host's KVM can show a guest, asked for while the rest of a machine is made.
#pragma once

#include <linux/kvm.h>

#include <atomic>
#include <exception>
#include <thread>
#include <vector>

#include "accel/kvm/fd.hpp"

namespace asyncvm::kvm {

/// supported_cpuid() on a thread of its own. The kernel executes CPUID once for each leaf, and where it is itself a guest
/// each of these leaves it: 0.4 ms, as long as all else that a machine needs of KVM.
class CpuidQuery {
public:
    /// `system`, /dev/kvm, must outlive the object.
    explicit CpuidQuery(const Fd& system);
    CpuidQuery(const CpuidQuery&) = delete;
    CpuidQuery& operator=(const CpuidQuery&) = delete;
    ~CpuidQuery();

    /// Waits for the answer; once. Where the thread has not got a processor yet, the caller asks itself. Throws Error(host).
    [[nodiscard]] std::vector<kvm_cpuid_entry2> take();

    /// Whether the thread has given the answer and has nothing left to do: the object can go without a wait. Until then a
    /// busy host may let it wait for its first turn.
    [[nodiscard]] bool idle() const noexcept { return by_thread_.load(); }

private:
    [[nodiscard]] bool ask() noexcept;

    const Fd& system_;
    std::atomic<bool> begun_ = false;
    std::atomic<int> answered_ = 0;
    std::atomic<bool> by_thread_ = false;
    std::vector<kvm_cpuid_entry2> answer_;
    std::exception_ptr failure_;
    std::thread thread_;
};

}  // namespace asyncvm::kvm
