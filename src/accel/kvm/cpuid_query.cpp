#include "accel/kvm/cpuid_query.hpp"

#include <mutex>
#include <system_error>
#include <utility>

#include "accel/kvm/cpuid.hpp"
#include "async/signals_blocked.hpp"

namespace asyncvm::kvm {

std::shared_ptr<CpuidQuery> CpuidQuery::shared(std::shared_ptr<const Fd> system) {
    static std::mutex mutex;
    static std::weak_ptr<CpuidQuery> known;
    const std::lock_guard lock(mutex);
    auto query = known.lock();
    if (!query) {
        query = std::make_shared<CpuidQuery>(std::move(system));
        known = query;
    }
    return query;
}

CpuidQuery::CpuidQuery(std::shared_ptr<const Fd> system) : system_(std::move(system)) {
    const SignalsBlocked blocked;
    try {
        thread_ = std::thread([this] { ask(); });
    } catch (const std::system_error&) {
        // No thread: answer() asks.
    }
}

CpuidQuery::~CpuidQuery() {
    begun_.store(true);
    if (thread_.joinable()) thread_.join();
}

/// On whichever thread comes first.
void CpuidQuery::ask() noexcept {
    if (begun_.exchange(true)) return;
    try {
        answer_ = supported_cpuid(*system_);
    } catch (...) {
        failure_ = std::current_exception();
    }
    answered_.store(1);
    answered_.notify_all();
}

const std::vector<kvm_cpuid_entry2>& CpuidQuery::answer() {
    ask();
    answered_.wait(0);
    if (failure_) std::rethrow_exception(failure_);
    return answer_;
}

}  // namespace asyncvm::kvm
