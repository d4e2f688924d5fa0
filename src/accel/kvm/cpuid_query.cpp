#include "accel/kvm/cpuid_query.hpp"

#include <pthread.h>

#include <csignal>
#include <system_error>
#include <utility>

#include "accel/kvm/cpuid.hpp"

namespace asyncvm::kvm {

CpuidQuery::CpuidQuery(const Fd& system) : system_(system) {
    // The program's signals are not for this thread.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        thread_ = std::thread([this] { by_thread_.store(ask()); });
    } catch (const std::system_error&) {
        // No thread: take() asks.
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

CpuidQuery::~CpuidQuery() {
    begun_.store(true);
    if (thread_.joinable()) thread_.join();
}

/// On whichever thread comes first: returns whether it was this one.
bool CpuidQuery::ask() noexcept {
    if (begun_.exchange(true)) return false;
    try {
        answer_ = supported_cpuid(system_);
    } catch (...) {
        failure_ = std::current_exception();
    }
    answered_.store(1);
    answered_.notify_one();
    return true;
}

std::vector<kvm_cpuid_entry2> CpuidQuery::take() {
    static_cast<void>(ask());
    answered_.wait(0);
    if (failure_) std::rethrow_exception(failure_);
    return std::move(answer_);
}

}  // namespace asyncvm::kvm
