#include "accel/unicorn/state.hpp"

#include <asyncvm/error.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "x86/bits.hpp"
#include "x86/segment_descriptor.hpp"

namespace asyncvm::unicorn {

namespace {

/// In the order of the members of Registers.
constexpr std::array general{UC_X86_REG_RAX, UC_X86_REG_RBX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RSI, UC_X86_REG_RDI,
                             UC_X86_REG_RSP, UC_X86_REG_RBP, UC_X86_REG_R8,  UC_X86_REG_R9,  UC_X86_REG_R10, UC_X86_REG_R11,
                             UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15};

template <typename R>
auto general_of(R& r) {
    return std::array{&r.rax, &r.rbx, &r.rcx, &r.rdx, &r.rsi, &r.rdi, &r.rsp, &r.rbp,
                      &r.r8,  &r.r9,  &r.r10, &r.r11, &r.r12, &r.r13, &r.r14, &r.r15};
}

/// A segment register in the mode of `now`, from its selector.
Segment segment(const GuestMemory* memory, const Registers& now, const Registers& started, const Segment& before,
                std::uint16_t selector, bool code) {
    const auto mode = [](const Registers& of) { return std::pair(of.cr0 & cr0_pe, of.efer & efer_lma); };
    if (mode(now) == mode(started) && before.selector == selector) return before;
    if ((now.cr0 & cr0_pe) == 0) {
        Segment real;
        real.selector = selector;
        real.base = std::uint64_t{selector} << 4;
        real.limit = 0xffff;
        real.type = code ? 0xb : 0x3;
        real.present = real.code_or_data = true;
        return real;
    }
    Segment unusable;
    unusable.selector = selector;
    if ((selector & ~3u) == 0 || memory == nullptr) return unusable;
    const std::uint64_t table = (selector & 4) != 0 ? now.ldt.base : now.gdt.base;
    const auto bytes = memory->try_at(table + (selector & ~7u), 8);
    if (bytes.empty()) return unusable;
    std::uint64_t descriptor = 0;
    std::memcpy(&descriptor, bytes.data(), sizeof descriptor);
    return decode_descriptor(descriptor, selector);
}

/// TR and LDTR: Unicorn keeps the attributes where the upper half of a descriptor has them.
Segment system_segment(const uc_x86_mmr& from) {
    Segment to = decode_descriptor(std::uint64_t{from.flags} << 32, from.selector);
    to.base = from.base;
    to.limit = from.limit;
    return to;
}

uc_x86_mmr from_system_segment(const Segment& from) {
    uc_x86_mmr to{};
    to.selector = from.selector;
    to.base = from.base;
    to.limit = from.limit;
    to.flags = static_cast<std::uint32_t>(encode_descriptor(from) >> 32) & 0x00f0'ff00;
    return to;
}

DescriptorTable to_table(const uc_x86_mmr& from) { return {from.base, static_cast<std::uint16_t>(from.limit)}; }

uc_x86_mmr from_table(const DescriptorTable& from) {
    uc_x86_mmr to{};
    to.base = from.base;
    to.limit = from.limit;
    return to;
}

std::uint16_t selector(const Engine& engine, uc_x86_reg name) { return static_cast<std::uint16_t>(engine.read(name)); }

/// SYSENTER's three, STAR to FMASK, the hidden base of GS, and PAT.
constexpr std::array<std::uint32_t, 9> system_msrs{0x174,      0x175,      0x176,      0xc0000081, 0xc0000082,
                                                   0xc0000083, 0xc0000084, 0xc0000102, 0x277};

uc_x86_reg after(uc_x86_reg first, std::size_t distance) {
    return static_cast<uc_x86_reg>(static_cast<std::size_t>(first) + distance);
}

}  // namespace

ExtendedState read_extended(const Engine& engine) {
    ExtendedState state;
    for (std::size_t i = 0; i < state.xmm.size(); ++i) engine.read_bytes(after(UC_X86_REG_XMM0, i), state.xmm[i]);
    for (std::size_t i = 0; i < state.x87.size(); ++i) engine.read_bytes(after(UC_X86_REG_FP0, i), state.x87[i]);
    state.mxcsr = engine.read(UC_X86_REG_MXCSR);
    state.control = engine.read(UC_X86_REG_FPCW);
    state.status = engine.read(UC_X86_REG_FPSW);
    state.tags = engine.read(UC_X86_REG_FPTAG);
    for (std::size_t i = 0; i < system_msrs.size(); ++i) {
        state.msrs[i] = {system_msrs[i], engine.read_msr(system_msrs[i])};
    }
    return state;
}

void write_extended(Engine& engine, const ExtendedState& state) {
    for (std::size_t i = 0; i < state.xmm.size(); ++i) engine.write_bytes(after(UC_X86_REG_XMM0, i), state.xmm[i]);
    // The status first: it says which register is the top.
    engine.write(UC_X86_REG_FPSW, state.status);
    for (std::size_t i = 0; i < state.x87.size(); ++i) engine.write_bytes(after(UC_X86_REG_FP0, i), state.x87[i]);
    engine.write(UC_X86_REG_FPTAG, state.tags);
    engine.write(UC_X86_REG_FPCW, state.control);
    engine.write(UC_X86_REG_MXCSR, state.mxcsr);
    for (const ExtendedState::Msr& msr : state.msrs) engine.write_msr(msr.index, msr.value);
}

namespace {

std::size_t in_stack(std::uint64_t status, std::size_t i) { return ((status >> 11 & 7) + i) & 7; }

}  // namespace

FpuRegisters to_fpu_registers(const ExtendedState& state) {
    FpuRegisters to;
    to.control = static_cast<std::uint16_t>(state.control);
    to.status = static_cast<std::uint16_t>(state.status);
    to.tags = static_cast<std::uint16_t>(state.tags);
    to.mxcsr = static_cast<std::uint32_t>(state.mxcsr);
    to.xmm = state.xmm;
    for (std::size_t i = 0; i < to.st.size(); ++i) {
        std::copy_n(state.x87[in_stack(state.status, i)].begin(), to.st[i].size(), to.st[i].begin());
    }
    return to;
}

void from_fpu_registers(const FpuRegisters& registers, ExtendedState& to) {
    to.control = registers.control;
    to.status = registers.status;
    to.tags = registers.tags;
    to.mxcsr = registers.mxcsr;
    to.xmm = registers.xmm;
    for (std::size_t i = 0; i < registers.st.size(); ++i) {
        std::ranges::copy(registers.st[i], to.x87[in_stack(registers.status, i)].begin());
    }
}

Registers read_state(const Engine& engine, const GuestMemory* memory, const Registers& started) {
    Registers to;
    const auto places = general_of(to);
    for (std::size_t i = 0; i < general.size(); ++i) *places[i] = engine.read(general[i]);
    to.rflags = engine.read(UC_X86_REG_EFLAGS) & 0xffff'ffff;
    to.cr0 = engine.read(UC_X86_REG_CR0), to.cr2 = engine.read(UC_X86_REG_CR2);
    to.cr3 = engine.read(UC_X86_REG_CR3), to.cr4 = engine.read(UC_X86_REG_CR4);
    to.efer = engine.read_msr(msr_efer);
    to.gdt = to_table(engine.read_table(UC_X86_REG_GDTR)), to.idt = to_table(engine.read_table(UC_X86_REG_IDTR));
    to.tr = system_segment(engine.read_table(UC_X86_REG_TR)), to.ldt = system_segment(engine.read_table(UC_X86_REG_LDTR));
    const auto get = [&](Segment& place, const Segment& before, uc_x86_reg name) {
        place = segment(memory, to, started, before, selector(engine, name), name == UC_X86_REG_CS);
    };
    get(to.cs, started.cs, UC_X86_REG_CS), get(to.ds, started.ds, UC_X86_REG_DS), get(to.es, started.es, UC_X86_REG_ES);
    get(to.fs, started.fs, UC_X86_REG_FS), get(to.gs, started.gs, UC_X86_REG_GS), get(to.ss, started.ss, UC_X86_REG_SS);
    to.fs.base = engine.read(UC_X86_REG_FS_BASE), to.gs.base = engine.read(UC_X86_REG_GS_BASE);
    return to;
}

void check_settable(const Registers& registers) {
    const auto refuse = [](const char* what) {
        throw Error(ErrorKind::host, std::string("Unicorn cannot start a guest in ") + what + " (use --accel kvm)");
    };
    if ((registers.cr0 & cr0_pe) != 0 && (registers.cs.dpl != 0 || (registers.cs.selector & 3) != 0)) refuse("user mode");
    if ((registers.rflags & rflags_vm) != 0) refuse("virtual-8086 mode");
    if ((registers.cr4 & cr4_la57) != 0) refuse("5-level paging");
}

void write_state(Engine& engine, const GuestMemory* memory, const Registers& registers) {
    const auto places = general_of(registers);
    for (std::size_t i = 0; i < general.size(); ++i) engine.write(general[i], *places[i]);
    engine.write(UC_X86_REG_RFLAGS, registers.rflags);
    engine.write_table(UC_X86_REG_GDTR, from_table(registers.gdt));
    engine.write_table(UC_X86_REG_IDTR, from_table(registers.idt));
    engine.write_table(UC_X86_REG_TR, from_system_segment(registers.tr));
    engine.write_table(UC_X86_REG_LDTR, from_system_segment(registers.ldt));
    // These four change the selector and nothing else.
    engine.write(UC_X86_REG_CS, registers.cs.selector);
    engine.write(UC_X86_REG_DS, registers.ds.selector);
    engine.write(UC_X86_REG_ES, registers.es.selector);
    engine.write(UC_X86_REG_SS, registers.ss.selector);
    // These two load the segment, from the guest's GDT, which must be there then. Without paging meanwhile: the page tables
    // of the start stub are gone, and CR3 does not yet lead to the guest's.
    engine.write(UC_X86_REG_CR0, registers.cr0 & ~cr0_pg);
    const auto load = [&](uc_x86_reg name, uc_x86_reg base_name, const Segment& segment) {
        const bool real = (registers.cr0 & cr0_pe) == 0;
        const bool there = (segment.selector & 4) == 0 && memory != nullptr &&
                           !memory->try_at(registers.gdt.base + (segment.selector & ~7u), 8).empty();
        if (real || there) engine.write(name, segment.selector);
        engine.write(base_name, segment.base);
    };
    load(UC_X86_REG_FS, UC_X86_REG_FS_BASE, registers.fs);
    load(UC_X86_REG_GS, UC_X86_REG_GS_BASE, registers.gs);
    engine.write(UC_X86_REG_CR2, registers.cr2);
    engine.write(UC_X86_REG_CR3, registers.cr3);
    engine.write(UC_X86_REG_CR4, registers.cr4);
    engine.write(UC_X86_REG_CR0, registers.cr0);
}

}  // namespace asyncvm::unicorn
