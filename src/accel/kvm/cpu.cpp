#include "accel/kvm/cpu.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "accel/kvm/conversion.hpp"
#include "accel/kvm/cpuid.hpp"
#include "accel/kvm/msrs.hpp"
#include "text/errno_text.hpp"
#include "x86/bits.hpp"
#include "x86/xsave_area.hpp"

namespace asyncvm::kvm {

void ioctl_failed(std::string_view what) { throw Error(ErrorKind::host, fmt::format("{} failed: {}", what, reason(errno))); }

KvmCpu::KvmCpu(Fd fd, unsigned index, const Common& common)
    : fd_(std::move(fd)),
      index_(index),
      state_io_(*common.state_io),
      irqchip_(common.irqchip),
      mapping_(fd_, common.run_size),
      run_(reinterpret_cast<kvm_run*>(mapping_.get())),
      sync_regs_(common.sync_regs),
      sync_sregs_(common.sync_sregs),
      kick_target_(std::make_shared<KickTarget>(common.kick_signal)) {
    if (run_ == nullptr) ioctl_failed("mapping a vCPU's shared page");
    if (sync_regs_) run_->kvm_valid_regs = KVM_SYNC_X86_REGS;
}

Exit KvmCpu::run() {
    if (steps_) [[unlikely]] {
        if (access_pending()) return finish_step();
        // The instruction may have loaded the flags, and with them the trap flag. Interrupts and SYSCALL clear it.
        if (std::exchange(step_again_, false)) static_cast<void>(fd_.control(KVM_SET_GUEST_DEBUG, &debug_));
    }
    kick_target_->enter(kick_target_);
    in_page_ = false;
    const int result = fd_.control(KVM_RUN, 0);
    if (result == 0) [[likely]] {
        exit_pending_ = true;
        const bool stopped = run_->exit_reason == KVM_EXIT_DEBUG;
        step_again_ = steps_;
        in_page_ = stopped && (run_->kvm_valid_regs & KVM_SYNC_X86_SREGS) != 0;
        return decode_exit(*run_);
    }
    exit_pending_ = false;
    step_again_ = steps_;
    // EAGAIN: an application processor that has not been started yet, or a retry that the kernel asks for.
    if (errno == EINTR || errno == EAGAIN) {
        // In this order: a kick() in between is answered by this very return.
        std::atomic_ref(run_->immediate_exit).store(0, std::memory_order_seq_cst);
        kicked_.store(false, std::memory_order_seq_cst);
        return Interrupted{};
    }
    Failure failure;
    failure.kind = Failure::Kind::host_error;
    failure.code = static_cast<std::uint64_t>(errno);
    return failure;
}

std::optional<Exit> KvmCpu::run_within(std::chrono::nanoseconds limit) {
    kick_target_->enter(kick_target_);
    if (!kick_timer_ || kick_timer_->thread() != kick_target_->thread()) kick_timer_.emplace(kick_target_->signal());
    if (!kick_timer_->start(limit)) return std::nullopt;
    const Exit exit = run();
    kick_timer_->stop();
    return exit;
}

/// Where KVM emulates an instruction that makes an access it does not stop behind it, but one instruction later.
Exit KvmCpu::finish_step() {
    std::atomic_ref immediate_exit(run_->immediate_exit);
    immediate_exit.store(1, std::memory_order_seq_cst);
    const int result = fd_.control(KVM_RUN, 0);
    immediate_exit.store(0, std::memory_order_seq_cst);
    if (kicked_.load(std::memory_order_seq_cst)) immediate_exit.store(1, std::memory_order_seq_cst);
    // Its next access, or a host that does stop.
    if (result == 0) return decode_exit(*run_);
    exit_pending_ = false;
    step_again_ = true;
    const Registers now = registers();
    constexpr std::uint64_t dr6_single_step = 1u << 14;
    constexpr std::uint64_t dr6_ones = 0xffff'0ff0;
    constexpr std::uint32_t debug_exception = 1;
    const bool wide = (now.efer & efer_lma) != 0 && now.cs.long_mode;
    return Debug{.rip = wide ? now.rip : (now.rip + now.cs.base) & 0xffff'ffff,
                 .dr6 = dr6_ones | dr6_single_step,
                 .dr7 = 0,
                 .exception = debug_exception};
}

void KvmCpu::complete_exit() {
    // KVM_RUN completes the pending access first, then sees immediate_exit. One access may complete in several steps (the
    // elements of a string, the halves of an access across pages): each step's exit is answered with what is in its data.
    // The bound is far above any real number of steps.
    std::atomic_ref immediate_exit(run_->immediate_exit);
    if (exit_pending_) in_page_ = false;
    for (int step = 0; exit_pending_ && step < 1024; ++step) {
        immediate_exit.store(1, std::memory_order_seq_cst);
        const int result = fd_.control(KVM_RUN, 0);
        if (result != 0 || (run_->exit_reason != KVM_EXIT_IO && run_->exit_reason != KVM_EXIT_MMIO)) exit_pending_ = false;
    }
    immediate_exit.store(0, std::memory_order_seq_cst);
    if (kicked_.load(std::memory_order_seq_cst)) immediate_exit.store(1, std::memory_order_seq_cst);
}

void KvmCpu::kick() noexcept {
    kicked_.store(true, std::memory_order_seq_cst);
    std::atomic_ref(run_->immediate_exit).store(1, std::memory_order_seq_cst);
    // Without a thread no KVM_RUN is under way, and the next one sees immediate_exit.
    kick_target_->kick();
}

Registers KvmCpu::registers() {
    if (in_page_) return to_registers(run_->s.regs.regs, run_->s.regs.sregs);
    kvm_regs regs{};
    kvm_sregs sregs{};
    if (fd_.control(KVM_GET_REGS, &regs) != 0) ioctl_failed("KVM_GET_REGS");
    if (fd_.control(KVM_GET_SREGS, &sregs) != 0) ioctl_failed("KVM_GET_SREGS");
    return to_registers(regs, sregs);
}

void KvmCpu::set_registers(const Registers& registers) {
    in_page_ = false;
    step_again_ = steps_;
    kvm_sregs sregs{};
    if (fd_.control(KVM_GET_SREGS, &sregs) != 0) ioctl_failed("KVM_GET_SREGS");
    apply_to_sregs(registers, sregs);
    const kvm_regs regs = to_regs(registers);
    if (fd_.control(KVM_SET_SREGS, &sregs) != 0) ioctl_failed("KVM_SET_SREGS");
    if (fd_.control(KVM_SET_REGS, &regs) != 0) ioctl_failed("KVM_SET_REGS");
    // Without a local APIC in the kernel each KVM_RUN begins with CR8 from here.
    run_->cr8 = registers.cr8;
}

/// As the vCPU's CPUID says; 0: it has no AVX.
std::size_t KvmCpu::avx_offset() const {
    constexpr std::uint32_t avx = 1u << 28;
    bool has = false;
    std::size_t offset = 0;
    for (const kvm_cpuid_entry2& entry : read_cpuid(fd_)) {
        if (entry.function == 1) has = (entry.ecx & avx) != 0;
        if (entry.function == 0xd && entry.index == 2) offset = entry.ebx;
    }
    return has ? offset : 0;
}

std::optional<FpuRegisters> KvmCpu::fpu_registers() {
    const auto area = state_io_.read_xsave(fd_);
    if (area.empty()) return std::nullopt;
    return read_xsave_area(area, avx_offset());
}

bool KvmCpu::set_fpu_registers(const FpuRegisters& registers) {
    auto area = state_io_.read_xsave(fd_);
    if (area.empty()) return false;
    write_xsave_area(area, avx_offset(), registers);
    state_io_.write_xsave(fd_, std::move(area));
    return true;
}

std::vector<std::optional<std::uint64_t>> KvmCpu::read_msrs(std::span<const std::uint32_t> indices) {
    std::vector<std::optional<std::uint64_t>> values(indices.size());
    for (const kvm_msr_entry& entry : kvm::read_msrs(fd_, indices)) {
        for (std::size_t i = 0; i < indices.size(); ++i) {
            if (indices[i] == entry.index) values[i] = entry.data;
        }
    }
    return values;
}

bool KvmCpu::write_msr(std::uint32_t index, std::uint64_t value) {
    kvm_msr_entry entry{};
    entry.index = index;
    entry.data = value;
    return kvm::try_write_msr(fd_, entry);
}

std::optional<InterruptState> KvmCpu::interrupt_state() {
    if (irqchip_ == nullptr) return std::nullopt;
    const LocalApic apic = read_local_apic(fd_);
    InterruptState state = irqchip_->state();
    state.local.base = apic.base;
    for (std::size_t i = 0; i < state.local.registers.size(); ++i) {
        std::memcpy(&state.local.registers[i], apic.registers.regs + 16 * i, sizeof(std::uint32_t));
    }
    return state;
}

bool KvmCpu::access_pending() const noexcept {
    return exit_pending_ && (run_->exit_reason == KVM_EXIT_IO || run_->exit_reason == KVM_EXIT_MMIO);
}

void KvmCpu::add_to_dr6(std::uint64_t bits) const {
    kvm_debugregs registers{};
    if (fd_.control(KVM_GET_DEBUGREGS, &registers) != 0) return;
    registers.dr6 |= bits;
    static_cast<void>(fd_.control(KVM_SET_DEBUGREGS, &registers));
}

bool KvmCpu::set_debug(const GuestDebug& debug) {
    debug_ = to_guest_debug(debug);
    // KVM raises the exception, but leaves the register to whoever asks for it.
    if (debug.inject_debug != 0) add_to_dr6(debug.inject_debug);
    const bool done = fd_.control(KVM_SET_GUEST_DEBUG, &debug_) == 0;
    debug_.control &= ~static_cast<std::uint32_t>(KVM_GUESTDBG_INJECT_BP | KVM_GUESTDBG_INJECT_DB);
    steps_ = debug.single_step;
    step_again_ = false;
    // After each stop somebody looks.
    if (sync_sregs_) run_->kvm_valid_regs = KVM_SYNC_X86_REGS | (debug_.control != 0 ? KVM_SYNC_X86_SREGS : 0u);
    return done;
}

bool KvmCpu::raise_nmi() { return fd_.control(KVM_NMI, nullptr) == 0; }

CpuState KvmCpu::save_state() {
    if (access_pending()) throw std::logic_error("the state of a vCPU is saved while an access is pending");
    return state_io_.save_cpu(fd_);
}

void KvmCpu::restore_state(const CpuState& state) {
    in_page_ = false;
    complete_exit();
    state_io_.restore_cpu(fd_, index_, state);
    run_->cr8 = registers().cr8;
    step_again_ = steps_;
}

Activity KvmCpu::activity() {
    if (irqchip_ == nullptr) return Cpu::activity();
    kvm_mp_state state{};
    if (fd_.control(KVM_GET_MP_STATE, &state) != 0) ioctl_failed("KVM_GET_MP_STATE");
    if (state.mp_state == KVM_MP_STATE_UNINITIALIZED || state.mp_state == KVM_MP_STATE_INIT_RECEIVED) {
        return Activity::not_started;
    }
    if (state.mp_state != KVM_MP_STATE_HALTED) return Activity::runs;
    kvm_regs regs{};
    if (fd_.control(KVM_GET_REGS, &regs) != 0) ioctl_failed("KVM_GET_REGS");
    constexpr std::uint64_t interrupt_flag = 1u << 9;
    if ((regs.rflags & interrupt_flag) == 0) return Activity::sleeps_for_good;
    return irqchip_->may_interrupt(read_local_apic(fd_)) ? Activity::sleeps : Activity::sleeps_uninterrupted;
}

std::uint64_t KvmCpu::exit_rip() const noexcept { return sync_regs_ ? run_->s.regs.regs.rip : 0; }

}  // namespace asyncvm::kvm
