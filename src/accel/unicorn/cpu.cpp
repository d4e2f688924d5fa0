#include "accel/unicorn/cpu.hpp"

#include <utility>

namespace asyncvm::unicorn {

UnicornCpu::UnicornCpu(unsigned index, std::shared_ptr<Shared> shared)
    : index_(index), shared_(std::move(shared)), engine_(std::make_unique<Engine>()) {}

Exit UnicornCpu::run() {
    using Stop = Emulation::Stop;
    for (;;) {
        // A vCPU that is in the middle of an access gets on with it, so that a kick leaves no instruction half done.
        if (!shared_->baton.take(kicked_)) {
            kicked_.store(false);
            return Interrupted{};
        }
        if (!emulation_) {
            try {
                auto engine = engine_ ? std::move(engine_) : std::make_unique<Engine>();
                emulation_ = std::make_unique<Emulation>(std::move(engine), index_, shared_->memory, start_, kicked_);
            } catch (...) {
                shared_->baton.give();
                throw;
            }
        }
        const Stop stop = emulation_->run();
        shared_->baton.give();
        if (stop != Stop::attention) return exit_of(stop);
        if (kicked_.exchange(false)) return Interrupted{};
    }
}

void UnicornCpu::complete_exit() {
    if (!emulation_) return;
    // Each access of the instruction is answered with what is in its data, as on KVM.
    for (;;) {
        const std::atomic<bool> not_cancelled = false;
        if (!shared_->baton.take(not_cancelled)) return;
        const Emulation::Stop stop = emulation_->complete();
        shared_->baton.give();
        if (stop != Emulation::Stop::access) return;
    }
}

void UnicornCpu::kick() noexcept {
    kicked_.store(true);
    shared_->baton.wake();
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
