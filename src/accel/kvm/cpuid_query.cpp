#include "accel/kvm/cpuid_query.hpp"

#include <fcntl.h>
#include <pthread.h>

#include <csignal>
#include <mutex>
#include <system_error>

#include "accel/kvm/cpuid.hpp"

namespace asyncvm::kvm {

std::shared_ptr<CpuidQuery> CpuidQuery::shared(const Fd& system) {
    static std::mutex mutex;
    static std::weak_ptr<CpuidQuery> known;
    const std::lock_guard lock(mutex);
    auto query = known.lock();
    if (!query) {
        query = std::make_shared<CpuidQuery>(system);
        known = query;
    }
    return query;
}

CpuidQuery::CpuidQuery(const Fd& system) : system_(::fcntl(system.get(), F_DUPFD_CLOEXEC, 0)) {
    // The program's signals are not for this thread.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        thread_ = std::thread([this] { ask(); });
    } catch (const std::system_error&) {
        // No thread: answer() asks.
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

CpuidQuery::~CpuidQuery() {
    begun_.store(true);
    if (thread_.joinable()) thread_.join();
}

/// On whichever thread comes first.
void CpuidQuery::ask() noexcept {
    if (begun_.exchange(true)) return;
    try {
        answer_ = supported_cpuid(system_);
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
