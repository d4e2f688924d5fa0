#include "report/hints.hpp"
#include "report/absent_memory.hpp"

#include "x86/bits.hpp"

#include "report/code.hpp"
#include "report/instruction_kind.hpp"
#include "report/misfit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

namespace asyncvm {
namespace {

std::string about_instruction(InstructionKind kind) {
    switch (kind) {
        case InstructionKind::x87:
        case InstructionKind::simd:
            return "a KVM that emulates the kernel's code, or any KVM at an address without RAM, can't run floating-point "
                   "and "
                   "vector instructions: compile the guest with -mgeneral-regs-only";
        case InstructionKind::extension:
            return "a KVM that emulates the kernel's code can't run this extension: compile the guest for plain x86-64 "
                   "(without "
                   "-march=native, -mpopcnt and the like)";
        case InstructionKind::interrupt:
            return "a KVM that emulates the kernel's code can't run int and iret outside of real mode: call and return "
                   "without "
                   "them, or run the guest on a KVM with hardware support";
        case InstructionKind::syscall:
            return "a KVM that emulates the kernel's code can't run system calls: run the guest on a KVM with hardware "
                   "support";
        case InstructionKind::hypercall:
            return "there is nothing behind a hypercall here";
        case InstructionKind::plain:
            break;
    }
    return {};
}

bool only_zeros(const CodeContext& context) {
    return context.code.size() >= 8 &&
           std::all_of(context.code.begin(), context.code.begin() + 8, [](std::byte byte) { return byte == std::byte{0}; });
}

/// About an interrupt table that can't deliver an exception.
std::string about_idt(const Registers& registers) {
    if (registers.idt.limit == 0) return "no IDT is loaded: any exception ends in a triple fault";
    // The architecture's first 20 exceptions are the least that a table of handlers covers.
    if ((registers.cr0 & cr0_pe) == 0 && registers.idt.limit < 20 * 4 - 1) {
        return fmt::format("the interrupt table's limit is {:#x}: it has no entries for most exceptions",
                           registers.idt.limit);
    }
    return {};
}

/// The default, and so the mode in which code for another one often ends up.
std::string about_real_mode(const CrashContext& crash) {
    if (crash.started_with == nullptr || ((crash.started_with->cr0 | crash.registers.cr0) & cr0_pe) != 0) return {};
    if (has_bios(crash.memory)) return {};
    return "the guest has never left 16-bit mode: code for 32 or 64 bits needs --mode 32 or --mode 64";
}

void add(std::vector<std::string>& hints, std::string hint) {
    if (!hint.empty()) hints.push_back(std::move(hint));
}

}  // namespace

std::span<const std::byte> failed_instruction(const Failure& failure, const CodeContext& context) noexcept {
    const auto reported = std::as_bytes(std::span(failure.instruction));
    if (failure.instruction_size == 0) return context.code;
    return reported.first(std::min<std::size_t>(failure.instruction_size, reported.size()));
}

std::vector<std::string> hints_about(const CrashContext& crash, const CodeContext& context) {
    if (std::holds_alternative<Halted>(crash.exit)) return {};  // nothing went wrong
    std::vector<std::string> hints;
    const Registers& registers = context.registers;
    if (context.reset) {
        hints.emplace_back("KVM has reset the processor (as it does on AMD): what the guest had in its registers is lost");
        if (crash.started_with != nullptr && crash.started_with->idt.limit == 0) {
            add(hints, "the guest started without an IDT: until it loads one, any exception ends in a triple fault");
        }
        return hints;
    }
    if (const std::string why = why_unreadable(context); !why.empty()) {
        const bool unmapped = context.walk.status != PageWalk::Status::mapped;
        add(hints, fmt::format("{}: {}",
                               unmapped ? "RIP points to an address that is not mapped" : "RIP points outside of RAM", why));
    } else if (only_zeros(context)) {
        add(hints, fmt::format("the guest executes zeroed memory (00 00 is add [{}], al): it jumped to where nothing is, or "
                               "ran past its end",
                               context.bits == 64   ? "rax"
                               : context.bits == 32 ? "eax"
                                                    : "bx+si"));
    }
    if (const auto* failure = std::get_if<Failure>(&crash.exit);
        failure != nullptr && failure->kind == Failure::Kind::emulation) {
        const InstructionKind kind = instruction_kind(failed_instruction(*failure, context), context.bits);
        add(hints, about_instruction(kind));
        // What seems to be plain may have raised an exception that could not be delivered.
        if (kind == InstructionKind::plain && !context.code.empty()) add(hints, about_idt(registers));
    }
    if (std::holds_alternative<ShutDown>(crash.exit)) {
        add(hints, about_idt(registers));
        if ((registers.cr0 & cr0_pg) != 0 && registers.cr2 != 0) {
            const PageWalk fault = translate(crash.memory, registers, registers.cr2);
            if (fault.status != PageWalk::Status::mapped) {
                add(hints, fmt::format("the last page fault was at {:#x}, which is not mapped", registers.cr2));
            }
        }
    }
    add(hints, about_absent_memory(crash));
    auto misfit = about_misfit(crash, context);
    add(hints, misfit.empty() ? about_real_mode(crash) : std::move(misfit));
    return hints;
}

}  // namespace asyncvm
