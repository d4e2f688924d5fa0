#include "accel/kvm/conversion.hpp"

#include <algorithm>
#include <cstdint>

namespace asyncvm::kvm {

namespace {

Exit decode_port(kvm_run& run) noexcept {
    PortAccess access;
    access.space = Space::port;
    access.direction = run.io.direction == KVM_EXIT_IO_OUT ? Direction::write : Direction::read;
    access.size = run.io.size;
    access.address = run.io.port;
    access.data = {reinterpret_cast<std::byte*>(&run) + run.io.data_offset, std::size_t{run.io.size} * run.io.count};
    return access;
}

Exit decode_mmio(kvm_run& run) noexcept {
    MmioAccess access;
    access.space = Space::memory;
    access.direction = run.mmio.is_write != 0 ? Direction::write : Direction::read;
    access.size = static_cast<std::uint8_t>(std::min<std::uint32_t>(run.mmio.len, sizeof run.mmio.data));
    access.address = run.mmio.phys_addr;
    access.data = {reinterpret_cast<std::byte*>(run.mmio.data), access.size};
    return access;
}

Exit decode_internal_error(const kvm_run& run) noexcept {
    Failure failure;
    failure.kind = Failure::Kind::internal;
    failure.code = run.internal.suberror;
    if (run.internal.suberror == KVM_INTERNAL_ERROR_EMULATION) {
        failure.kind = Failure::Kind::emulation;
        const auto& emulation = run.emulation_failure;
        // ndata counts 64-bit words from `flags` on: the size and the bytes take two more.
        if (emulation.ndata >= 3 && (emulation.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) != 0) {
            failure.instruction_size =
                static_cast<std::uint8_t>(std::min<std::size_t>(emulation.insn_size, failure.instruction.size()));
            std::copy_n(emulation.insn_bytes, failure.instruction_size, failure.instruction.begin());
        }
    }
    return failure;
}

Exit decode_system_event(const kvm_run& run) noexcept {
    SystemEvent event;
    event.type = run.system_event.type;
    switch (run.system_event.type) {
        case KVM_SYSTEM_EVENT_SHUTDOWN:
            event.kind = SystemEvent::Kind::shutdown;
            break;
        case KVM_SYSTEM_EVENT_RESET:
            event.kind = SystemEvent::Kind::reset;
            break;
        case KVM_SYSTEM_EVENT_CRASH:
            event.kind = SystemEvent::Kind::crash;
            break;
        default:
            break;
    }
    return event;
}

Exit decode_debug(const kvm_run& run) noexcept {
    Debug debug;
    debug.rip = run.debug.arch.pc;
    debug.dr6 = run.debug.arch.dr6;
    debug.dr7 = run.debug.arch.dr7;
    debug.exception = run.debug.arch.exception;
    return debug;
}

Exit failure(Failure::Kind kind, std::uint64_t code) noexcept {
    Failure failure;
    failure.kind = kind;
    failure.code = code;
    return failure;
}

// Registers.

Segment to_segment(const kvm_segment& from) noexcept {
    Segment to;
    to.selector = from.selector;
    to.base = from.base;
    to.limit = from.limit;
    to.type = from.type;
    to.dpl = from.dpl;
    to.present = from.present != 0 && from.unusable == 0;
    to.code_or_data = from.s != 0;
    to.long_mode = from.l != 0;
    to.default_32 = from.db != 0;
    to.granularity_4k = from.g != 0;
    to.available = from.avl != 0;
    return to;
}

kvm_segment from_segment(const Segment& from) noexcept {
    kvm_segment to{};
    to.selector = from.selector;
    to.base = from.base;
    to.limit = from.limit;
    to.type = from.type;
    to.dpl = from.dpl;
    to.present = from.present;
    to.unusable = !from.present;
    to.s = from.code_or_data;
    to.l = from.long_mode;
    to.db = from.default_32;
    to.g = from.granularity_4k;
    to.avl = from.available;
    return to;
}

DescriptorTable to_table(const kvm_dtable& from) noexcept { return {from.base, from.limit}; }

kvm_dtable from_table(const DescriptorTable& from) noexcept {
    kvm_dtable to{};
    to.base = from.base;
    to.limit = from.limit;
    return to;
}

}  // namespace

Exit decode_exit(kvm_run& run) noexcept {
    switch (run.exit_reason) {
        case KVM_EXIT_IO:
            return decode_port(run);
        case KVM_EXIT_MMIO:
            return decode_mmio(run);
        case KVM_EXIT_HLT:
            return Halted{};
        case KVM_EXIT_SHUTDOWN:
            return ShutDown{};
        case KVM_EXIT_INTR:
        case KVM_EXIT_IRQ_WINDOW_OPEN:
            return Interrupted{};
        case KVM_EXIT_DEBUG:
            return decode_debug(run);
        case KVM_EXIT_SYSTEM_EVENT:
            return decode_system_event(run);
        case KVM_EXIT_INTERNAL_ERROR:
            return decode_internal_error(run);
        case KVM_EXIT_FAIL_ENTRY:
            return failure(Failure::Kind::entry, run.fail_entry.hardware_entry_failure_reason);
        case KVM_EXIT_UNKNOWN:
            return failure(Failure::Kind::unknown, run.hw.hardware_exit_reason);
        default:
            return failure(Failure::Kind::unhandled, run.exit_reason);
    }
}

kvm_guest_debug to_guest_debug(const GuestDebug& debug) noexcept {
    kvm_guest_debug to{};
    if (debug.single_step) to.control |= KVM_GUESTDBG_SINGLESTEP;
    // Older kernels do not know it, and do not mind.
    if (debug.block_interrupts) to.control |= KVM_GUESTDBG_BLOCKIRQ;
    if (debug.software_breakpoints) to.control |= KVM_GUESTDBG_USE_SW_BP;
    if (debug.inject_breakpoint) to.control |= KVM_GUESTDBG_INJECT_BP;
    if (debug.inject_debug != 0) to.control |= KVM_GUESTDBG_INJECT_DB;
    if (debug.dr7 != 0) {
        to.control |= KVM_GUESTDBG_USE_HW_BP;
        std::copy(debug.breakpoints.begin(), debug.breakpoints.end(), to.arch.debugreg);
        to.arch.debugreg[7] = debug.dr7;
    }
    if (to.control != 0) to.control |= KVM_GUESTDBG_ENABLE;
    return to;
}

Registers to_registers(const kvm_regs& regs, const kvm_sregs& sregs) noexcept {
    Registers to;
    to.rax = regs.rax, to.rbx = regs.rbx, to.rcx = regs.rcx, to.rdx = regs.rdx;
    to.rsi = regs.rsi, to.rdi = regs.rdi, to.rsp = regs.rsp, to.rbp = regs.rbp;
    to.r8 = regs.r8, to.r9 = regs.r9, to.r10 = regs.r10, to.r11 = regs.r11;
    to.r12 = regs.r12, to.r13 = regs.r13, to.r14 = regs.r14, to.r15 = regs.r15;
    to.rip = regs.rip, to.rflags = regs.rflags;
    to.cs = to_segment(sregs.cs), to.ds = to_segment(sregs.ds), to.es = to_segment(sregs.es);
    to.fs = to_segment(sregs.fs), to.gs = to_segment(sregs.gs), to.ss = to_segment(sregs.ss);
    to.tr = to_segment(sregs.tr), to.ldt = to_segment(sregs.ldt);
    to.gdt = to_table(sregs.gdt), to.idt = to_table(sregs.idt);
    to.cr0 = sregs.cr0, to.cr2 = sregs.cr2, to.cr3 = sregs.cr3, to.cr4 = sregs.cr4, to.cr8 = sregs.cr8, to.efer = sregs.efer;
    return to;
}

kvm_regs to_regs(const Registers& from) noexcept {
    kvm_regs to{};
    to.rax = from.rax, to.rbx = from.rbx, to.rcx = from.rcx, to.rdx = from.rdx;
    to.rsi = from.rsi, to.rdi = from.rdi, to.rsp = from.rsp, to.rbp = from.rbp;
    to.r8 = from.r8, to.r9 = from.r9, to.r10 = from.r10, to.r11 = from.r11;
    to.r12 = from.r12, to.r13 = from.r13, to.r14 = from.r14, to.r15 = from.r15;
    to.rip = from.rip, to.rflags = from.rflags;
    return to;
}

void apply_to_sregs(const Registers& from, kvm_sregs& to) noexcept {
    to.cs = from_segment(from.cs), to.ds = from_segment(from.ds), to.es = from_segment(from.es);
    to.fs = from_segment(from.fs), to.gs = from_segment(from.gs), to.ss = from_segment(from.ss);
    to.tr = from_segment(from.tr), to.ldt = from_segment(from.ldt);
    to.gdt = from_table(from.gdt), to.idt = from_table(from.idt);
    to.cr0 = from.cr0, to.cr2 = from.cr2, to.cr3 = from.cr3, to.cr4 = from.cr4, to.cr8 = from.cr8, to.efer = from.efer;
}

}  // namespace asyncvm::kvm
