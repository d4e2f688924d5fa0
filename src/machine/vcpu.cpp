#include "machine/vcpu.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>
#include <pthread.h>

#include <exception>
#include <system_error>
#include <utility>
#include <variant>

#include "async/signals_blocked.hpp"
#include "machine/coalesced_writes.hpp"
#include "machine/crash_reporter.hpp"

namespace asyncvm {

Vcpu::Vcpu(unsigned index, std::unique_ptr<Cpu> cpu, Surroundings surroundings)
    : index_(index), surroundings_(std::move(surroundings)), cpu_(std::move(cpu)) {}

Vcpu::~Vcpu() = default;

void Vcpu::start() {
    started_with_ = cpu_->registers();
    const SignalsBlocked blocked;
    try {
        thread_ = std::thread([this] { thread_main(); });
    } catch (const std::system_error& error) {
        throw Error(ErrorKind::host,
                    fmt::format("cannot start the thread of vCPU {}: {} (take fewer with --cpus, or raise the limit "
                                "that `ulimit -u` shows)",
                                index_, error.code().message()));
    }
}

void Vcpu::stop() noexcept {
    stopping_.store(true, std::memory_order_seq_cst);
    cpu_->kick();
    asio::post(context_, [this] { cancel_.emit(asio::cancellation_type::terminal); });
}

void Vcpu::abandon() noexcept { context_.stop(); }

void Vcpu::join() {
    if (thread_.joinable()) thread_.join();
}

void Vcpu::thread_main() {
    pthread_setname_np(pthread_self(), fmt::format("vcpu{}", index_).c_str());
    asio::co_spawn(context_, run(), asio::bind_cancellation_slot(cancel_.slot(), [this](std::exception_ptr failure) {
                       // A cancelled access ends here too; stop() has asked for that.
                       if (!failure || stopping_.load()) return;
                       outcome_ = outcome_of_exception(failure, index_);
                   }));
    serve();
    cpu_->complete_exit();
    surroundings_.on_end(std::move(outcome_));
}

/// The coroutine, until it has ended or is abandoned.
void Vcpu::serve() {
    if (recorder_ == nullptr) {
        context_.run();
        return;
    }
    // One piece of work at a time: whenever one has ended the coroutine has suspended.
    while (context_.run_one() != 0) recorder_->left(stats::Clock::now());
    recorder_->ended(stats::Clock::now());
}

awaitable<void> Vcpu::run() {
    while (!stopping_.load(std::memory_order_relaxed)) {
        if (recorder_ != nullptr) [[unlikely]]
            recorder_->entering(stats::Clock::now());
        const Exit exit = cpu_->run();
        if (recorder_ != nullptr) [[unlikely]]
            recorder_->exited(exit, stats::Clock::now());
        history_.record(exit, cpu_->exit_rip());
        // What the guest has written before it asks for anything else.
        if (surroundings_.coalesced != nullptr && surroundings_.coalesced->pending())
            co_await surroundings_.coalesced->drain();
        Bus* bus = nullptr;
        Bus::Hint* hint = nullptr;
        Transaction transaction;
        if (const auto* const port = std::get_if<PortAccess>(&exit)) {
            bus = &surroundings_.ports;
            hint = &port_hint_;
            transaction = *port;
        } else if (const auto* const mmio = std::get_if<MmioAccess>(&exit)) {
            bus = &surroundings_.mmio;
            hint = &mmio_hint_;
            transaction = *mmio;
        }
        if (bus != nullptr) {
            auto access = bus->try_access(transaction, index_, *hint);
            if (access) {
                std::exception_ptr failure;
                try {
                    co_await access.answer();
                    access.finish();
                } catch (...) {
                    failure = std::current_exception();
                }
                if (failure) {
                    const auto cancellation = co_await asio::this_coro::cancellation_state;
                    access.fail(std::move(failure), cancellation.cancelled());
                }
            } else {
                co_await bus->perform(transaction, index_);
            }
            history_.answered(transaction);
        } else if (!std::holds_alternative<Interrupted>(exit)) {
            outcome_ = describe_end(exit);
            break;
        }
    }
}

std::optional<Outcome> Vcpu::describe_end(const Exit& exit) {
    if (std::holds_alternative<Halted>(exit)) return std::nullopt;
    const std::uint64_t posted = surroundings_.coalesced != nullptr ? surroundings_.coalesced->delivered() : 0;
    const CrashReporter reporter{
        surroundings_.memory, surroundings_.ports, surroundings_.mmio, history_, started_with_, index_, posted};
    return reporter.outcome(exit, *cpu_);
}

}  // namespace asyncvm
