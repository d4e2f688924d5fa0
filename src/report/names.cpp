#include "report/names.hpp"

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <limits>
#include "text/errno_text.hpp"

namespace asyncvm {
namespace {

// linux/kvm.h. Written out, because a KVM can be newer than the headers that we are built with.
constexpr std::array<std::string_view, 41> exit_reasons{
    "UNKNOWN",
    "EXCEPTION",
    "IO",
    "HYPERCALL",
    "DEBUG",
    "HLT",
    "MMIO",
    "IRQ_WINDOW_OPEN",
    "SHUTDOWN",
    "FAIL_ENTRY",
    "INTR",
    "SET_TPR",
    "TPR_ACCESS",
    "S390_SIEIC",
    "S390_RESET",
    "DCR",
    "NMI",
    "INTERNAL_ERROR",
    "OSI",
    "PAPR_HCALL",
    "S390_UCONTROL",
    "WATCHDOG",
    "S390_TSCH",
    "EPR",
    "SYSTEM_EVENT",
    "S390_STSI",
    "IOAPIC_EOI",
    "HYPERV",
    "ARM_NISV",
    "X86_RDMSR",
    "X86_WRMSR",
    "DIRTY_RING_FULL",
    "AP_RESET_HOLD",
    "X86_BUS_LOCK",
    "XEN",
    "RISCV_SBI",
    "RISCV_CSR",
    "NOTIFY",
    "LOONGARCH_IOCSR",
    "MEMORY_FAULT",
    "TDX",
};

constexpr std::array<std::string_view, 5> internal_errors{"", "EMULATION", "SIMUL_EX", "DELIVERY_EV",
                                                          "UNEXPECTED_EXIT_REASON"};

constexpr std::array<std::string_view, 7> system_events{"", "SHUTDOWN", "RESET", "CRASH", "WAKEUP", "SUSPEND", "SEV_TERM"};

template <std::size_t Size>
std::string name_of(const std::array<std::string_view, Size>& names, std::uint32_t number, std::string_view prefix,
                    std::string_view otherwise) {
    if (number < Size && !names[number].empty()) return fmt::format("{}{}", prefix, names[number]);
    return fmt::format("{} {}", otherwise, number);
}

std::uint32_t narrow(std::uint64_t number) noexcept {
    constexpr auto most = std::numeric_limits<std::uint32_t>::max();
    return number > most ? most : static_cast<std::uint32_t>(number);
}

}  // namespace

std::string exit_reason_name(std::uint32_t reason) { return name_of(exit_reasons, reason, "KVM_EXIT_", "KVM exit reason"); }

std::string internal_error_name(std::uint32_t suberror) {
    return name_of(internal_errors, suberror, "KVM_INTERNAL_ERROR_", "KVM internal error");
}

std::string system_event_name(std::uint32_t type) {
    return name_of(system_events, type, "KVM_SYSTEM_EVENT_", "KVM system event");
}

std::string hardware_reason(std::uint64_t reason) {
    // Intel SDM vol. 3, appendix C: bit 31 marks a VM entry that failed. AMD APM vol. 2, appendix C: VMEXIT_INVALID is -1.
    switch (reason) {
        case 0x8000'0021:
            return "invalid guest state (VMX exit 33)";
        case 0x8000'0022:
            return "MSR loading failed (VMX exit 34)";
        case 0x8000'0029:
            return "machine check at the entry (VMX exit 41)";
        case 0xffff'ffff:
        case ~std::uint64_t{0}:
            return "invalid guest state (SVM VMEXIT_INVALID)";
        default:
            return fmt::format("hardware reason {:#x}", reason);
    }
}

std::string describe_failure(const Failure& failure) {
    switch (failure.kind) {
        case Failure::Kind::entry:
            return "the processor refused to enter the guest: " + hardware_reason(failure.code);
        case Failure::Kind::emulation:
            return "KVM cannot emulate an instruction";
        case Failure::Kind::internal:
            return fmt::format("KVM failed inside with {}", internal_error_name(narrow(failure.code)));
        case Failure::Kind::unknown:
            return "KVM does not know why the guest stopped: " + hardware_reason(failure.code);
        case Failure::Kind::unhandled:
            return fmt::format("the guest stopped with {}, which is not handled", exit_reason_name(narrow(failure.code)));
        case Failure::Kind::host_error:
            return "KVM_RUN failed: " + reason(static_cast<int>(failure.code & 0x7fff'ffff));
        case Failure::Kind::refused:
            return fmt::format("Unicorn cannot run this guest: {} (use --accel kvm)", failure.reason);
    }
    return "the accelerator failed";
}

std::string_view failure_kind_name(Failure::Kind kind) noexcept {
    switch (kind) {
        case Failure::Kind::entry:
            return "entry refused";
        case Failure::Kind::emulation:
            return "emulation failure";
        case Failure::Kind::internal:
            return "internal error of KVM";
        case Failure::Kind::unknown:
            return "unknown exit";
        case Failure::Kind::unhandled:
            return "unhandled exit";
        case Failure::Kind::host_error:
            return "KVM_RUN failed";
        case Failure::Kind::refused:
            return "refused";
    }
    return "failure";
}

}  // namespace asyncvm
