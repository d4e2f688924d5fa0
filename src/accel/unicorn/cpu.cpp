#include "accel/unicorn/cpu.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <stdexcept>
#include <type_traits>
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

// The sections of a saved state are our own structures; a change of one of them is a new version.
constexpr std::uint32_t section_version = 1;

template <typename T>
void add_section(CpuState& state, const char* name, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto bytes = std::as_bytes(std::span(&value, 1));
    state.sections.push_back({name, section_version, {bytes.begin(), bytes.end()}});
}

/// False where there is no such section.
template <typename T>
bool take_section(const CpuState& state, const char* name, T& value) {
    const auto* const section = state.find(name);
    if (section == nullptr) return false;
    if (section->version != section_version || section->bytes.size() != sizeof value) {
        throw Error(ErrorKind::usage, fmt::format("the saved section {} is of another version of asyncvm", name));
    }
    std::memcpy(&value, section->bytes.data(), sizeof value);
    return true;
}

}  // namespace

UnicornCpu::UnicornCpu(unsigned index, std::shared_ptr<Shared> shared)
    : index_(index), shared_(std::move(shared)), engine_(std::make_unique<Engine>()) {
    shared_->host_writes.add(&host_writes_);
}

UnicornCpu::~UnicornCpu() { shared_->host_writes.remove(&host_writes_); }

Emulation& UnicornCpu::emulation() {
    if (!emulation_) {
        auto engine = engine_ ? std::move(engine_) : std::make_unique<Engine>();
        emulation_ = std::make_unique<Emulation>(std::move(engine), index_, shared_->memory, start_, kicked_, host_writes_);
        // Unicorn begins with zeros, which is no state that a processor has after a reset.
        ExtendedState extended = extended_ ? *extended_ : emulation_->extended();
        if (!extended_) from_fpu_registers(FpuRegisters{}, extended);
        emulation_->set_extended(extended);
        emulation_->set_debug(debug_);
    }
    return *emulation_;
}

Exit UnicornCpu::run() {
    for (;;) {
        // Also with a kick, if the lock is free: a pending access is then completed, as on KVM.
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

std::optional<Exit> UnicornCpu::run_within(std::chrono::nanoseconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    // No other vCPU runs; one that is only about to rest has it for a moment.
    if (!emulation_ || !shared_->vcpu_lock.try_lock()) return std::nullopt;
    const HeldVcpuLock held(shared_->vcpu_lock);
    for (;;) {
        const Emulation::Stop stop = emulation_->run();
        if (stop != Emulation::Stop::attention) return exit_of(stop);
        if (kicked_.exchange(false) || std::chrono::steady_clock::now() >= end) return Interrupted{};
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
    if (emulation_) extended_ = emulation_->extended();
    emulation_.reset();
    start_ = registers;
}

/// Also before the start: the processor's own initial values.
ExtendedState UnicornCpu::extended() {
    if (!emulation_ && extended_) return *extended_;
    return emulation().extended();
}

void UnicornCpu::set_extended(const ExtendedState& state) {
    set_registers(registers());
    extended_ = state;
}

std::optional<FpuRegisters> UnicornCpu::fpu_registers() {
    // Before the start there need not be an engine yet.
    if (!emulation_ && !extended_) return FpuRegisters{};
    return to_fpu_registers(extended());
}

bool UnicornCpu::set_fpu_registers(const FpuRegisters& registers) {
    ExtendedState state = extended();
    from_fpu_registers(registers, state);
    set_extended(state);
    return true;
}

std::vector<std::optional<std::uint64_t>> UnicornCpu::read_msrs(std::span<const std::uint32_t> indices) {
    const ExtendedState state = extended();
    std::vector<std::optional<std::uint64_t>> values(indices.size());
    for (const ExtendedState::Msr& msr : state.msrs) {
        for (std::size_t i = 0; i < indices.size(); ++i) {
            if (indices[i] == msr.index) values[i] = msr.value;
        }
    }
    return values;
}

bool UnicornCpu::write_msr(std::uint32_t index, std::uint64_t value) {
    ExtendedState state = extended();
    const auto found = std::ranges::find(state.msrs, index, &ExtendedState::Msr::index);
    if (found == state.msrs.end()) return false;
    found->value = value;
    set_extended(state);
    return true;
}

bool UnicornCpu::set_debug(const GuestDebug& debug) {
    debug_ = debug;
    if (emulation_) emulation_->set_debug(debug);
    return true;
}

CpuState UnicornCpu::save_state() {
    if (emulation_ && emulation_->access_pending())
        throw std::logic_error("the state of a vCPU is saved while an access is pending");
    CpuState state;
    state.accelerator = "unicorn";
    const Registers now = registers();
    add_section(state, "registers", now);
    const auto extended = emulation_ ? emulation_->extended() : extended_;
    if (extended) add_section(state, "extended", *extended);
    return state;
}

void UnicornCpu::restore_state(const CpuState& state) {
    if (state.accelerator != "unicorn") {
        throw Error(ErrorKind::usage,
                    fmt::format("the state was saved on {}, and Unicorn can't go on with it", state.accelerator));
    }
    Registers registers;
    if (!take_section(state, "registers", registers))
        throw Error(ErrorKind::usage, "the saved state has no section registers");
    ExtendedState extended;
    const bool has_extended = take_section(state, "extended", extended);
    emulation_.reset();
    start_ = registers;
    extended_ = has_extended ? std::optional(extended) : std::nullopt;
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
        case Stop::debug:
            return emulation_->debug_stop();
        case Stop::failed:
            return emulation_->failure();
        case Stop::attention:
        case Stop::boundary:
            break;
    }
    return Interrupted{};
}

}  // namespace asyncvm::unicorn
