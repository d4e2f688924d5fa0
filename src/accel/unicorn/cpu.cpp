#include "accel/unicorn/cpu.hpp"

#include <utility>

namespace asyncvm::unicorn {

namespace {

/// A lock that is held.
class HeldVcpuLock {
public:
    explicit HeldVcpuLock(VcpuLock& lock) : lock_(lock) {}
    HeldVcpuLock(const HeldVcpuLock&) = delete;
    HeldVcpuLock& operator=(const HeldVcpuLock&) = delete;
    ~HeldVcpuLock() { lock_.unlock(); }

private:
    VcpuLock& lock_;
};

}  // namespace

UnicornCpu::UnicornCpu(unsigned index, std::shared_ptr<Shared> shared)
    : index_(index), shared_(std::move(shared)), engine_(std::make_unique<Engine>()) {}

Emulation& UnicornCpu::emulation() {
    if (!emulation_) {
        auto engine = engine_ ? std::move(engine_) : std::make_unique<Engine>();
        emulation_ = std::make_unique<Emulation>(std::move(engine), index_, shared_->memory, start_, kicked_);
    }
    return *emulation_;
}

Exit UnicornCpu::run() {
    for (;;) {
        // Also with a kick, if nobody else holds the lock: a pending access is then completed, as on KVM.
        if (!shared_->vcpu_lock.lock(kicked_)) {
            kicked_.store(false);
            return Interrupted{};
        }
        Emulation::Stop stop{};
        {
            const HeldVcpuLock held(shared_->vcpu_lock);
            stop = emulation().run();
        }
        if (stop != Emulation::Stop::attention) return exit_of(stop);
        if (kicked_.exchange(false)) return Interrupted{};
    }
}

void UnicornCpu::complete_exit() {
    if (!emulation_) return;
    const std::atomic<bool> not_cancelled = false;  // it is short: a kick does not matter
    // Each access of the instruction is answered with what is in its data, as on KVM.
    for (Emulation::Stop stop = Emulation::Stop::access; stop == Emulation::Stop::access;) {
        if (!shared_->vcpu_lock.lock(not_cancelled)) return;
        const HeldVcpuLock held(shared_->vcpu_lock);
        stop = emulation_->complete();
    }
}

void UnicornCpu::kick() noexcept {
    kicked_.store(true);
    shared_->vcpu_lock.wake();
}

Registers UnicornCpu::registers() { return emulation_ ? emulation_->registers() : start_; }

void UnicornCpu::set_registers(const Registers& registers) {
    emulation_.reset();
    start_ = registers;
}

std::uint64_t UnicornCpu::exit_rip() const noexcept { return emulation_ ? emulation_->rip() : 0; }

Exit UnicornCpu::exit_of(Emulation::Stop stop) const {
    using Stop = Emulation::Stop;
    switch (stop) {
        case Stop::access:
            if (emulation_->transaction().space == Space::port) return PortAccess{emulation_->transaction()};
            return MmioAccess{emulation_->transaction()};
        case Stop::halted:
            return Halted{};
        case Stop::shut_down:
            return ShutDown{};
        case Stop::failed:
            return emulation_->failure();
        case Stop::attention:
        case Stop::boundary:
            break;
    }
    return Interrupted{};
}

}  // namespace asyncvm::unicorn
