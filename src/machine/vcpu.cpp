#include "machine/vcpu.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>
#include <pthread.h>
#include <time.h>

#include <exception>
#include <new>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

#include "async/signals_blocked.hpp"
#include "machine/coalesced_writes.hpp"
#include "machine/crash_reporter.hpp"
#include "text/errno_text.hpp"
#include "usdt/probes.hpp"

namespace asyncvm {

namespace {

// Vcpu::place_: an address with two bits that no physical address has; 0 is the guest.
constexpr std::uint64_t memory_bit = std::uint64_t{1} << 63;
constexpr std::uint64_t access_bit = std::uint64_t{1} << 62;
constexpr std::uint64_t posted_place = ~std::uint64_t{0};

thread_local const Vcpu* vcpu_of_this_thread = nullptr;

std::uint64_t place_of(const Transaction& transaction) noexcept {
    return transaction.address | access_bit | (transaction.space == Space::memory ? memory_bit : 0);
}

}  // namespace

Vcpu::Vcpu(unsigned index, std::unique_ptr<Cpu> cpu, Surroundings surroundings)
    : index_(index), surroundings_(std::move(surroundings)), cpu_(std::move(cpu)) {}

Vcpu::~Vcpu() = default;

void Vcpu::remember(bool state) {
    started_with_ = cpu_->registers();
    if (state) started_as_ = cpu_->save_state();
}

void Vcpu::start() {
    context_.restart();
    requests_.fetch_and(~static_cast<unsigned>(cancel_request));
    alive_.store(true);
    halted_.store(false);
    observed_ = !surroundings_.observers.empty();
    const SignalsBlocked blocked;
    try {
        thread_ = std::thread([this] { thread_main(); });
    } catch (const std::system_error& error) {
        alive_.store(false);
        throw Error(ErrorKind::host,
                    fmt::format("cannot start the thread of vCPU {}: {} (take fewer with --cpus, or raise the limit "
                                "that `ulimit -u` or `ulimit -v` shows)",
                                index_, reason(error.code().value())));
    }
}

void Vcpu::stop() noexcept {
    requests_.fetch_or(stop_request);
    cpu_->kick();
    asio::post(context_, [this] { cancel_.emit(asio::cancellation_type::terminal); });
}

void Vcpu::abandon() noexcept { context_.stop(); }

void Vcpu::pause() noexcept {
    requests_.fetch_or(pause_request);
    // A vCPU that rests looks again before it enters the guest.
    if (!resting_.load()) cpu_->kick();
}

void Vcpu::resume() noexcept {
    requests_.fetch_and(~static_cast<unsigned>(pause_request));
    wake_.notify();
}

void Vcpu::release() noexcept {
    requests_.fetch_and(~static_cast<unsigned>(hold_request | stopped_request));
    wake_.notify();
}

void Vcpu::cancel_access() noexcept {
    requests_.fetch_or(cancel_request);
    asio::post(context_, [this] {
        if (!resting_.load()) cancel_.emit(asio::cancellation_type::terminal);
    });
}

bool Vcpu::take_crash(Outcome& outcome) {
    if (vcpu_of_this_thread != this || bus_ == nullptr || !alive_.load()) return false;
    if (!reported_) reported_ = std::move(outcome);
    requests_.fetch_or(crash_request);
    return true;
}

bool Vcpu::call(std::function<void(Cpu&)> work) {
    {
        const std::lock_guard lock(calls_mutex_);
        if (!alive_.load()) return false;
        calls_.push_back(std::move(work));
    }
    requests_.fetch_or(call_request);
    if (!resting_.load()) cpu_->kick();
    asio::post(context_, [this] { serve_calls(); });
    return true;
}

/// On the vCPU's thread, which is not in the guest.
void Vcpu::serve_calls() {
    requests_.fetch_and(~static_cast<unsigned>(call_request));
    for (;;) {
        std::function<void(Cpu&)> work;
        {
            const std::lock_guard lock(calls_mutex_);
            if (calls_.empty()) return;
            work = std::move(calls_.front());
            calls_.pop_front();
        }
        const std::lock_guard lock(cpu_mutex_);
        work(*cpu_);
    }
}

void Vcpu::join() {
    if (!thread_.joinable()) return;
    ended_.acquire();
    thread_.join();
}

bool Vcpu::join_within(std::chrono::milliseconds limit) {
    if (!thread_.joinable()) return !left_behind_;
    if (!ended_.try_acquire_for(limit)) return false;
    thread_.join();
    return true;
}

void Vcpu::end_cancelled_access() {
    // One that keeps itself busy must not keep the caller busy.
    constexpr int steps = 100;
    context_.restart();
    for (int step = 0; suspended_ && step < steps && context_.poll_one() != 0; ++step) {
    }
}

void Vcpu::leave_behind() {
    thread_.detach();
    left_behind_ = true;
}

void Vcpu::thread_main() {
    pthread_setname_np(pthread_self(), fmt::format("vcpu{}", index_).c_str());
    vcpu_of_this_thread = this;
    suspended_ = true;
    asio::co_spawn(context_, run(), asio::bind_cancellation_slot(cancel_.slot(), [this](std::exception_ptr failure) {
                       suspended_ = false;
                       // A cancelled access ends here too; stop() has asked for that.
                       if (!failure || asked_for(stop_request)) return;
                       outcome_ = outcome_of_exception(failure, index_);
                   }));
    serve();
    cpu_->complete_exit();
    {
        const std::lock_guard lock(calls_mutex_);
        alive_.store(false);
    }
    serve_calls();
    surroundings_.on_end(std::exchange(outcome_, std::nullopt));
    ended_.release();
}

/// The coroutine, until it has ended or is abandoned.
void Vcpu::serve() {
    if (!observed_) {
        context_.run();
        return;
    }
    // One piece of work at a time: whenever one has ended the coroutine has suspended.
    while (context_.run_one() != 0) suspended();
    waits_ = false;
    surroundings_.observers.notify(&Observer::cpu_ended, index_);
}

void Vcpu::suspended() noexcept {
    if (waits_) surroundings_.observers.notify(&Observer::resumed, index_);
    waits_ = bus_ != nullptr;
    if (waits_) surroundings_.observers.notify(&Observer::suspended, index_);
}

awaitable<void> Vcpu::run() {
    for (;;) {
        std::exception_ptr cancelled;
        bool goes_on = false;
        try {
            goes_on = co_await run_until_cancelled();
        } catch (...) {
            cancelled = std::current_exception();
        }
        if (cancelled) {
            if (asked_for(stop_request) || !asked_for(cancel_request)) std::rethrow_exception(cancelled);
            // The access is dropped, and with it the guest's instruction. reset() then restores the state.
            co_await asio::this_coro::reset_cancellation_state();
            drop_access();
            cpu_->complete_exit();
            co_await rest();
        } else if (!goes_on) {
            break;
        }
    }
}

/// The run loop. answer_each() carries out what a device takes as it is, and calls next() for each; here is what is left
/// over. Returns false when the vCPU has ended.
awaitable<bool> Vcpu::run_until_cancelled() {
    if (asked_for(rest_requests)) co_await rest();
    for (;;) {
        if (!entered_.exchange(false)) co_await answer_each(*this);
        // What the guest has written before it asks for anything else.
        if (surroundings_.coalesced != nullptr && surroundings_.coalesced->pending()) {
            be_at(posted_place);
            co_await surroundings_.coalesced->drain();
            be_at(0);
        }
        if (bus_ != nullptr) {
            be_at(place_of(*transaction_));
            co_await bus_->perform(*transaction_, index_);
        } else if (std::holds_alternative<Interrupted>(exit_) && !has_crashed()) {
            if (asked_for(stop_request)) break;
            // Only here is nothing pending: an exit is completed by the entry that follows it.
            if (asked_for(call_request)) serve_calls();
            if (asked_for(rest_requests)) co_await rest();
        } else if (ask_what_becomes() != StopAction::end) {
            if (asked_for(rest_requests)) co_await rest();
            if (outcome_) break;
        } else {
            outcome_ = how_it_ends();
            break;
        }
    }
    co_return false;
}

/// Enters the guest until it exits. Returns the access if it exits for one that a device takes as it is.
[[gnu::flatten]] IoBus::DeviceAccess Vcpu::next() { return observed_ ? enter<true>() : enter<false>(); }

/// With `observed`, and only then, the observers are told.
template <bool observed>
IoBus::DeviceAccess Vcpu::enter() {
    const Observers& observers = surroundings_.observers;
    if (bus_ != nullptr) {
        history_.answered(index_, *transaction_);
        ASYNCVM_PROBE2(access_end, index_, transaction_->address);
        if constexpr (observed) {
            if (std::exchange(waits_, false)) observers.notify(&Observer::resumed, index_);
            observers.notify(&Observer::answered, index_, *transaction_);
        }
        drop_access();
    }
    if ((requests_.load(std::memory_order_relaxed) & (stop_request | crash_request)) != 0) {
        exit_ = Interrupted{};
        return {};
    }
    if constexpr (observed) observers.notify(&Observer::entering, index_);
    // Made in its place instead of copied. What is there needs no destructor.
    static_assert(std::is_trivially_destructible_v<Exit>);
    ::new (&exit_) Exit(cpu_->run());
    note_exit<observed>();
    if (bus_ == nullptr || (surroundings_.coalesced != nullptr && surroundings_.coalesced->pending())) return {};
    be_at(place_of(*transaction_));
    return bus_->try_access(*transaction_, index_, bus_ == &surroundings_.ports ? port_hint_ : mmio_hint_);
}

/// The guest has left with exit_.
template <bool observed>
void Vcpu::note_exit() {
    const Observers& observers = surroundings_.observers;
    const std::uint64_t rip = cpu_->exit_rip();
    history_.exited(index_, exit_, rip);
    ASYNCVM_PROBE3(exit, index_, exit_.index(), rip);
    if constexpr (observed) observers.notify(&Observer::exited, index_, exit_, rip);
    if (auto* const port = std::get_if<PortAccess>(&exit_)) {
        bus_ = &surroundings_.ports;
        transaction_ = port;
    } else if (auto* const mmio = std::get_if<MmioAccess>(&exit_)) {
        bus_ = &surroundings_.mmio;
        transaction_ = mmio;
    }
    if (bus_ != nullptr) {
        ASYNCVM_PROBE4(access_begin, index_, transaction_->address, static_cast<int>(transaction_->direction),
                       transaction_->data.size());
    }
}

bool Vcpu::enter_here(std::chrono::nanoseconds limit) {
    // Observers are called on the vCPU's thread.
    if (!alive_.load() || !at_rest() || asked_for(stop_request | call_request | cancel_request)) return false;
    const std::unique_lock lock(cpu_mutex_, std::try_to_lock);
    if (!lock.owns_lock() || outcome_ || observed_) return false;
    const auto exit = cpu_->run_within(limit);
    if (!exit) return false;
    exit_ = *exit;
    note_exit<false>();
    if (std::holds_alternative<Debug>(exit_)) return ask_what_becomes() == StopAction::hold;
    if (std::holds_alternative<Interrupted>(exit_)) return false;
    // When it has answered the exit it looks whether it has to rest.
    cpu_->kick();
    entered_ = true;
    return false;
}

/// The access has been answered, or will not be.
void Vcpu::drop_access() noexcept {
    bus_ = nullptr;
    be_at(0);
}

/// Until no pause is held any more. Calls are served meanwhile.
awaitable<void> Vcpu::rest() {
    for (bool told = false;;) {
        const auto seen = wake_.generation();
        if (asked_for(rest_requests) && !entered_.load()) {
            resting_.store(true);
            if (!std::exchange(told, true)) surroundings_.on_rest();
            co_await wake_.wait(seen);
            continue;
        }
        resting_.store(false);
        // Whoever has asked for something before that did not kick.
        if (asked_for(call_request)) serve_calls();
        if (!asked_for(rest_requests) || entered_.load()) break;
        told = false;
    }
    requests_.fetch_and(~static_cast<unsigned>(cancel_request));
}

std::chrono::nanoseconds Vcpu::processor_time() const noexcept {
    clockid_t clock{};
    timespec used{};
    // The handle stays valid until the thread is joined, which is the device loop's work too.
    if (!thread_.joinable() || pthread_getcpuclockid(const_cast<std::thread&>(thread_).native_handle(), &clock) != 0 ||
        clock_gettime(clock, &used) != 0) {
        return {};
    }
    return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

VcpuPlace Vcpu::place() const noexcept {
    const auto value = __atomic_load_n(&place_, __ATOMIC_RELAXED);
    if (value == 0) return {};
    if (value == posted_place) return {.kind = VcpuPlace::Kind::posted};
    return {.kind = VcpuPlace::Kind::access,
            .space = (value & memory_bit) != 0 ? Space::memory : Space::port,
            .address = value & ~(memory_bit | access_bit)};
}

}  // namespace asyncvm
