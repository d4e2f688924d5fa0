#include "accel/kvm/decode.hpp"

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

}  // namespace asyncvm::kvm
