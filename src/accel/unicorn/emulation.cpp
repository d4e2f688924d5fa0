#include "accel/unicorn/emulation.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "accel/unicorn/containment.hpp"
#include "accel/unicorn/delivery.hpp"
#include "accel/unicorn/state.hpp"
#include "x86/bits.hpp"

namespace asyncvm::unicorn {

Emulation::~Emulation() {
    quitting_ = true;
    if (fiber_.left() == nullptr) {
        fiber_.resume();
    } else {
        Engine::abandon(std::move(engine_));
    }
}

Emulation::Stop Emulation::run() {
    completing_ = false;
    pass_ = stop_ != Stop::access;
    budget_ = slice;
    code_full_ = engine_->nearly_full();
    code_stale_ = code_full_ || host_writes_.pending();
    resume();
    return stop_;
}

Emulation::Stop Emulation::complete() {
    if (stop_ != Stop::access) return Stop::boundary;
    completing_ = true;
    resume();
    return stop_;
}

void Emulation::resume() {
    if (fiber_.left() != nullptr) return;  // and stop_ is failed
    prepare_thread();
    fiber_.resume();
    if (fiber_.left() != nullptr) give_up();
}

/// Unicorn has given up, and will never run again. The guest is at the instruction that it could not run, or in front of a
/// block that it could not translate.
void Emulation::give_up() {
    // While an instruction runs RIP is its linear address, or its offset; else the offset of the next block.
    const std::uint64_t rip = engine_->read(UC_X86_REG_RIP);
    const bool in_instruction = rip == linear_ || cs_base_ + rip == linear_;
    rip_ = in_instruction ? linear_ - cs_base_ : rip;
    inside_ = false;
    stop_ = Stop::failed;
    failure_.emplace();
    failure_->kind = Failure::Kind::refused;
    failure_->reason = fiber_.left();
    for (std::uint8_t& byte : failure_->instruction) {
        const std::uint64_t at = cs_base_ + rip_ + failure_->instruction_size;
        const auto bytes = memory_ != nullptr ? memory_->try_at(at, 1) : std::span<std::byte>();
        if (bytes.empty()) break;
        byte = std::to_integer<std::uint8_t>(bytes[0]);
        ++failure_->instruction_size;
    }
}

Registers Emulation::registers() const {
    Registers registers = read_state(*engine_, memory_, started_);
    registers.rip = rip();
    registers.cs.base = cs_base_;
    return registers;
}

void Emulation::suspend(Stop stop) {
    stop_ = stop;
    fiber_.suspend();
}

void Emulation::stop_engine() noexcept { uc_emu_stop(engine_->get()); }

/// The guest goes no further than the instruction at linear_; run() says Stop::failed.
void Emulation::refuse(std::string_view reason) noexcept {
    if (!failure_) {
        failure_.emplace();
        failure_->kind = Failure::Kind::refused;
        failure_->reason = reason;
    }
    at_instruction_ = true;
    stop_engine();
}

void Emulation::fail() {
    suspend(Stop::failed);
    failure_.reset();
}

void Emulation::body() {
    try {
        set_up();
    } catch (...) {
        setup_failure_ = std::current_exception();
        return;
    }
    fiber_.suspend();
    while (!quitting_) {
        try {
            emulate_once();
        } catch (const std::exception&) {
            // Nothing may be thrown out of the fiber. All that throws here is our own setting up in the middle of a run.
            refuse("Unicorn is out of memory");
            fail();
        }
    }
}

void Emulation::emulate_once() {
    drop_stale_code();
    entering_ = true;
    inside_ = true;
    const uc_err error = uc_emu_start(engine_->get(), rip_, 0, 0, 0);
    if (quitting_) return;
    after_emulation(error);
    if (kicked_.load(std::memory_order_relaxed) && !quitting_) suspend(Stop::attention);
}

/// The guest is outside of Unicorn, and no instruction is half done.
void Emulation::after_emulation(uc_err error) {
    rip_ = std::exchange(at_instruction_, false) ? linear_ - cs_base_ : engine_->read(UC_X86_REG_RIP);
    inside_ = false;
    if (completing_) suspend(Stop::boundary);
    if (quitting_) return;
    if (failure_) {
        fail();
    } else if (exception_ == breakpoint_exception && debug_.software_breakpoints && !debug_.inject_breakpoint) {
        stop_at_int3();
    } else if (exception_) {
        debug_.inject_breakpoint = false;
        deliver_exception();
    } else if (error != UC_ERR_OK) {
        refuse(uc_strerror(error));
        fail();
    } else if (reconfigure_) {
        reconfigure_ = false;
        switch_page_checks();
    } else if (!code_stale_) {
        suspend(Stop::halted);
    }
}

void Emulation::deliver_exception() {
    const unsigned vector = *std::exchange(exception_, std::nullopt);
    const Registers now = registers();
    // INT n and traps leave RIP behind the instruction.
    const bool fault = rip_ == linear_ - cs_base_;
    const Delivery delivery = memory_ == nullptr ? Delivery{} : deliver(*memory_, now, vector, fault);
    if (delivery.kind == Delivery::Kind::shut_down) return suspend(Stop::shut_down);
    if (delivery.kind == Delivery::Kind::refused) {
        refuse(delivery.reason);
        return fail();
    }
    uc_mem_write(engine_->get(), delivery.frame_address, delivery.frame.data(), delivery.frame_size);
    engine_->write(UC_X86_REG_RSP, delivery.rsp);
    engine_->write(UC_X86_REG_RFLAGS, delivery.rflags);
    rip_ = delivery.rip;
    if (delivery.cs == now.cs.selector) return;
    const auto offset = static_cast<std::uint16_t>(delivery.rip);
    const std::uint64_t stub = write_far_jump_stub(stub_->bytes, cs_base_, delivery.cs, offset);
    run_stub(stub);
    cs_ = delivery.cs;
    cs_base_ = std::uint64_t{delivery.cs} << 4;
}

/// Outside of Unicorn. What the engine has translated from memory that was written since is wrong now.
void Emulation::drop_stale_code() {
    if (std::exchange(code_full_, false)) uc_ctl_flush_tlb(engine_->get());
    code_stale_ = false;
    if (memory_ == nullptr || !host_writes_.pending()) return;
    for (const auto& [address, size] : host_writes_.take()) {
        const std::uint64_t last = size - 1 > ~address ? ~std::uint64_t{0} : address + (size - 1);
        for (const GuestMemory::Region& region : memory_->regions()) {
            const std::uint64_t from = std::max(address, region.address);
            const std::uint64_t to = std::min(last, region.address + (region.bytes.size() - 1));
            if (from <= to) uc_ctl_remove_cache(engine_->get(), from, to + 1);
        }
    }
}

void Emulation::access(Space space, Direction direction, std::uint64_t address, unsigned size, std::byte* data) {
    transaction_ = {space, direction, static_cast<std::uint8_t>(size), address, {data, size}};
    suspend(Stop::access);
}

void Emulation::on_instruction(uc_engine*, std::uint64_t address, std::uint32_t size, void* self) noexcept {
    auto& emulation = *static_cast<Emulation*>(self);
    // Unicorn may come here once more before it stops.
    if (emulation.failure_ || emulation.exception_ || emulation.quitting_) [[unlikely]]
        return emulation.stop_engine();
    emulation.linear_ = address;
    emulation.joiner_.reset();
    emulation.input_read_ = false;
    const bool quiet = --emulation.budget_ > 0 && !emulation.entering_ && !emulation.completing_ &&
                       !emulation.reconfigure_ && !emulation.code_stale_ && !emulation.debugging_ &&
                       address >= emulation.code_low_ && address + 15 < emulation.code_high_ &&
                       !emulation.kicked_.load(std::memory_order_relaxed);
    if (!quiet) [[unlikely]]
        emulation.slow_instruction_check(address, size);
}

void Emulation::slow_instruction_check(std::uint64_t address, std::uint32_t size) {
    if (in_stub_ && address - stub_base >= stub_size) return stop_engine();
    const bool once_more = std::exchange(entering_, false) && cs_base_ != 0;
    // uc_emu_start has asked itself to look at RIP again, behind this hook, where Unicorn has the linear address in RIP. It
    // comes here a second time then.
    if (once_more) engine_->write(UC_X86_REG_RIP, address - cs_base_);
    if (in_stub_) return;
    if (reconfigure_) {
        at_instruction_ = true;
        return stop_engine();
    }
    if (debugging_ && !completing_) stop_for_debugger(address);
    if (quitting_) return stop_engine();
    if (completing_) {
        suspend(Stop::boundary);
    } else if (budget_ <= 0 || kicked_.load(std::memory_order_relaxed)) {
        budget_ = slice;
        suspend(Stop::attention);
    }
    if (quitting_) return stop_engine();
    if (code_stale_) {
        at_instruction_ = true;
        return stop_engine();
    }
    if (!once_more) pass_ = false;
    check_code(address, size);
}

std::uint32_t Emulation::on_in(uc_engine*, std::uint32_t port, int size, void* self) noexcept {
    auto& emulation = *static_cast<Emulation*>(self);
    emulation.port_data_.fill(std::byte{0xff});
    if (!emulation.failure_) {
        emulation.access(Space::port, Direction::read, port & 0xffff, static_cast<unsigned>(size),
                         emulation.port_data_.data());
    }
    emulation.input_read_ = true;
    std::uint32_t value = 0;
    std::copy_n(emulation.port_data_.data(), std::min<std::size_t>(sizeof value, static_cast<std::size_t>(size)),
                reinterpret_cast<std::byte*>(&value));
    return value;
}

void Emulation::on_out(uc_engine*, std::uint32_t port, int size, std::uint32_t value, void* self) noexcept {
    auto& emulation = *static_cast<Emulation*>(self);
    if (emulation.failure_) return;
    std::copy_n(reinterpret_cast<const std::byte*>(&value), sizeof value, emulation.port_data_.data());
    emulation.access(Space::port, Direction::write, port & 0xffff, static_cast<unsigned>(size), emulation.port_data_.data());
}

}  // namespace asyncvm::unicorn
