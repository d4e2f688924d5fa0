/// What the host's KVM can show a guest, asked for while the rest of a machine is made.
#pragma once

#include <linux/kvm.h>

#include <atomic>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "accel/kvm/fd.hpp"

namespace asyncvm::kvm {

/// supported_cpuid() on a thread of its own, once for all machines that a process has at a time: while one of them is there
/// the kernel's module can't change. The kernel executes CPUID once for each leaf, and where it is itself a guest each of
/// these leaves it: 0.4 ms, as long as all else that a machine needs of KVM.
class CpuidQuery {
public:
    /// The one that is there, or a new one. Any thread. `system` is /dev/kvm.
    [[nodiscard]] static std::shared_ptr<CpuidQuery> shared(std::shared_ptr<const Fd> system);

    explicit CpuidQuery(std::shared_ptr<const Fd> system);
    CpuidQuery(const CpuidQuery&) = delete;
    CpuidQuery& operator=(const CpuidQuery&) = delete;
    ~CpuidQuery();

    /// Waits for the answer. Where the thread has not got a processor yet, the caller asks itself. Any thread. Throws
    /// Error(host).
    [[nodiscard]] const std::vector<kvm_cpuid_entry2>& answer();

private:
    void ask() noexcept;

    const std::shared_ptr<const Fd> system_;  ///< shared, because the machine that has asked first may be gone first
    std::atomic<bool> begun_ = false;
    std::atomic<int> answered_ = 0;
    std::vector<kvm_cpuid_entry2> answer_;
    std::exception_ptr failure_;
    std::thread thread_;
};

}  // namespace asyncvm::kvm
