#include "machine/preparation.hpp"

#include <system_error>
#include <utility>

#include "machine/signals_blocked.hpp"

namespace asyncvm {

Preparation::Preparation(AcceleratorMaker make, unsigned cpus, const GuestMemory& memory, std::shared_ptr<Event> done)
    : make_(std::move(make)), registers_(cpus), memory_(memory), event_(std::move(done)) {}

Preparation::~Preparation() {
    begun_.store(true);
    if (thread_.joinable()) thread_.join();
}

void Preparation::set_registers(unsigned cpu, const Registers& registers) { registers_.at(cpu) = registers; }

void Preparation::begin() {
    const SignalsBlocked blocked;
    try {
        thread_ = std::thread([this] { help(); });
    } catch (const std::system_error&) {
        // No thread: who needs the result makes it.
    }
}

/// On whichever thread comes first.
void Preparation::help() noexcept {
    if (begun_.exchange(true)) return;
    try {
        prepare();
    } catch (...) {
        failure_ = std::current_exception();
    }
    done_.store(1, std::memory_order_release);
    done_.notify_all();
    event_->notify();
}

void Preparation::prepare() {
    made_.accelerator = make_();
    for (unsigned index = 0; index < registers_.size(); ++index) {
        made_.cpus.push_back(made_.accelerator->create_cpu(index));
    }
    for (unsigned index = 0; index < registers_.size(); ++index) {
        if (registers_[index]) made_.cpus[index]->set_registers(*registers_[index]);
    }
    made_.accelerator->map(memory_);
}

Preparation::Made Preparation::take() {
    help();
    done_.wait(0, std::memory_order_acquire);
    if (failure_) std::rethrow_exception(failure_);
    return std::move(made_);
}

}  // namespace asyncvm
