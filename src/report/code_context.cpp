#include "report/code_context.hpp"

#include "x86/bits.hpp"

#include <optional>
#include <variant>

namespace asyncvm {
namespace {

/// Where a processor starts after INIT and RESET. A guest without firmware has no business there: kvm-amd resets the vCPU
/// before it reports a triple fault, because the hardware leaves its state undefined (AMD APM vol. 2, 15.14.3).
bool is_reset(const CrashContext& crash) noexcept {
    const Registers& registers = crash.registers;
    return std::holds_alternative<ShutDown>(crash.exit) && registers.rip == 0xfff0 && registers.cs.selector == 0xf000 &&
           registers.cs.base == 0xffff'0000 && (registers.cr0 & cr0_pe) == 0;
}

/// The last exit whose record shows where the guest was.
std::optional<ExitHistory::Record> last_access(const ExitHistory& history) noexcept {
    for (std::size_t i = history.size(); i-- > 0;) {
        const auto record = history[i];
        if (record.kind == ExitHistory::Kind::port || record.kind == ExitHistory::Kind::mmio) return record;
    }
    return std::nullopt;
}

bool in_long_mode(const Registers& registers) noexcept { return (registers.efer & efer_lma) != 0; }

}  // namespace

unsigned code_bits(const Registers& registers) noexcept {
    if (in_long_mode(registers) && registers.cs.long_mode) return 64;
    return registers.cs.default_32 ? 32 : 16;
}

bool has_paragraphs(const Registers& registers) noexcept {
    return ((registers.cr0 & cr0_pe) == 0 || ((registers.rflags & rflags_vm) != 0 && !in_long_mode(registers))) &&
           registers.cs.base == std::uint64_t{registers.cs.selector} << 4;
}

std::string mode_name(const Registers& registers) {
    const std::string bits = std::to_string(code_bits(registers)) + "-bit ";
    if ((registers.cr0 & cr0_pe) == 0) return bits + "real mode";
    if (in_long_mode(registers)) {
        const std::string levels = (registers.cr4 & cr4_la57) != 0 ? ", 5-level paging" : "";
        return (code_bits(registers) == 64 ? "64-bit long mode" : bits + "code in long mode") + levels;
    }
    const std::string mode = (registers.rflags & rflags_vm) != 0 ? "virtual-8086 mode" : bits + "protected mode";
    if ((registers.cr0 & cr0_pg) == 0) return mode + ", no paging";
    return mode + ((registers.cr4 & cr4_pae) != 0 ? ", PAE paging" : ", 32-bit paging");
}

std::uint64_t linear_address(const Registers& registers, const Segment& segment, std::uint64_t offset) noexcept {
    if (code_bits(registers) == 64) return offset;  // bases of CS, DS, ES and SS are ignored
    return (segment.base + offset) & 0xffff'ffff;
}

CodeContext look_at(const CrashContext& crash) {
    CodeContext context{.registers = crash.registers, .reset = is_reset(crash)};
    if (context.reset) {
        const auto last = last_access(crash.history);
        context.place_known = last.has_value();
        if (crash.started_with != nullptr) context.registers = *crash.started_with;
        if (last) context.registers.rip = last->rip;
    }
    context.bits = code_bits(context.registers);
    context.linear = linear_address(context.registers, context.registers.cs, context.registers.rip);
    context.walk = translate(crash.memory, context.registers, context.linear);
    context.code.resize(64);
    context.code.resize(read_linear(crash.memory, context.registers, context.linear, context.code));
    return context;
}

}  // namespace asyncvm
