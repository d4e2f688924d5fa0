#include "machine/preparation.hpp"

#include <system_error>
#include <utility>

#include "async/signals_blocked.hpp"

namespace asyncvm {

Preparation::Preparation(AcceleratorMaker make, unsigned cpus, const GuestMemory& memory, std::shared_ptr<Event> changed)
    : make_(std::move(make)), registers_(cpus), memory_(memory), changed_(std::move(changed)) {}

Preparation::~Preparation() {
    begun_.store(true);
    if (thread_.joinable()) thread_.join();
}

void Preparation::set_registers(unsigned cpu, const Registers& registers) { registers_.at(cpu) = registers; }

void Preparation::begin() {
    if (thread_.joinable() || begun_.load()) return;
    const SignalsBlocked blocked;
    try {
        thread_ = std::thread([this] {
            make();
            thread_ended_.store(true);
        });
    } catch (const std::system_error&) {
        // No thread: the caller that needs the result makes it.
    }
}

/// On whichever thread comes first.
void Preparation::make() noexcept {
    if (begun_.exchange(true)) return;
    try {
        made_.accelerator = make_();
        mappable_.store(true);
        changed_->notify();
        for (unsigned index = 0; index < registers_.size(); ++index) {
            made_.cpus.push_back(made_.accelerator->create_cpu(index));
        }
    } catch (...) {
        failure_ = std::current_exception();
    }
    done_.store(1, std::memory_order_release);
    done_.notify_all();
    changed_->notify();
}

void Preparation::map() noexcept {
    if (mapped_) return;
    mapped_ = true;
    try {
        made_.accelerator->map(memory_);
    } catch (...) {
        mapping_failure_ = std::current_exception();
    }
}

void Preparation::help() noexcept {
    make();
    if (mappable_.load()) map();
}

Preparation::Made Preparation::take() {
    make();
    done_.wait(0, std::memory_order_acquire);
    if (!failure_) {
        map();
        failure_ = mapping_failure_;
    }
    try {
        if (failure_) std::rethrow_exception(failure_);
        for (unsigned index = 0; index < registers_.size(); ++index) {
            if (registers_[index]) made_.cpus[index]->set_registers(*registers_[index]);
        }
    } catch (...) {
        failure_ = std::current_exception();
        throw;
    }
    return std::move(made_);
}

}  // namespace asyncvm
