#include "gdb/register_table.hpp"

#include <string>
#include <utility>

#include "x86/bits.hpp"

namespace asyncvm::gdb {

namespace {

using Part = RegisterEntry::Part;
using Get = std::uint64_t (*)(const Registers&);
using Set = void (*)(Registers&, std::uint64_t);

template <auto member>
std::uint64_t get(const Registers& registers) {
    return registers.*member;
}
template <auto member>
void set(Registers& registers, std::uint64_t value) {
    registers.*member = value;
}

/// Of a description of 32 bits: the upper halves stay.
template <auto member>
void set_low(Registers& registers, std::uint64_t value) {
    registers.*member = (registers.*member & ~std::uint64_t{0xffff'ffff}) | (value & 0xffff'ffff);
}

template <auto segment>
std::uint64_t get_selector(const Registers& registers) {
    return (registers.*segment).selector;
}
/// In real mode the base follows. Elsewhere only the processor can load a descriptor.
template <auto segment>
void set_selector(Registers& registers, std::uint64_t value) {
    (registers.*segment).selector = static_cast<std::uint16_t>(value);
    if ((registers.cr0 & cr0_pe) == 0) (registers.*segment).base = (value & 0xffff) << 4;
}
template <auto segment>
std::uint64_t get_base(const Registers& registers) {
    return (registers.*segment).base;
}
template <auto segment>
void set_base(Registers& registers, std::uint64_t value) {
    (registers.*segment).base = value;
}
template <auto table>
std::uint64_t get_table_limit(const Registers& registers) {
    return (registers.*table).limit;
}
template <auto table>
void set_table_limit(Registers& registers, std::uint64_t value) {
    (registers.*table).limit = static_cast<std::uint16_t>(value);
}

std::uint64_t get_pc(const Registers& registers) { return linear_pc(registers); }
std::uint64_t get_sp(const Registers& registers) { return linear_sp(registers); }

/// Outside of 64-bit code an offset has 32 bits.
std::uint64_t offset(const Registers& registers, std::uint64_t value) {
    return width_of(registers) == Width::long64 ? value : value & 0xffff'ffff;
}
void set_pc(Registers& registers, std::uint64_t value) {
    registers.rip = offset(registers, registers.rip + value - linear_pc(registers));
}
void set_sp(Registers& registers, std::uint64_t value) {
    registers.rsp = offset(registers, registers.rsp + value - linear_sp(registers));
}

struct General {
    const char* name_64;
    const char* name_32;  ///< null: there is none
    Get get;
    Set set;
    Set set_low;
};

template <auto member>
constexpr General general(const char* name_64, const char* name_32) {
    return {name_64, name_32, get<member>, set<member>, set_low<member>};
}

constexpr General rax = general<&Registers::rax>("rax", "eax");
constexpr General rbx = general<&Registers::rbx>("rbx", "ebx");
constexpr General rcx = general<&Registers::rcx>("rcx", "ecx");
constexpr General rdx = general<&Registers::rdx>("rdx", "edx");
constexpr General rsi = general<&Registers::rsi>("rsi", "esi");
constexpr General rdi = general<&Registers::rdi>("rdi", "edi");
constexpr General rbp = general<&Registers::rbp>("rbp", "ebp");
constexpr General rsp{"rsp", "esp", get_sp, set_sp, set_sp};

constexpr General order_64[] = {rax,
                                rbx,
                                rcx,
                                rdx,
                                rsi,
                                rdi,
                                rbp,
                                rsp,
                                general<&Registers::r8>("r8", nullptr),
                                general<&Registers::r9>("r9", nullptr),
                                general<&Registers::r10>("r10", nullptr),
                                general<&Registers::r11>("r11", nullptr),
                                general<&Registers::r12>("r12", nullptr),
                                general<&Registers::r13>("r13", nullptr),
                                general<&Registers::r14>("r14", nullptr),
                                general<&Registers::r15>("r15", nullptr)};
constexpr General order_32[] = {rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi};

void add_general(std::vector<RegisterEntry>& table, bool wide) {
    const unsigned bits = wide ? 64 : 32;
    const auto add = [&](const General& from) {
        const std::string_view name = wide ? from.name_64 : from.name_32;
        const bool stack = name == "rsp" || name == "esp" || name == "rbp" || name == "ebp";
        table.push_back({std::string(name), bits,
                         stack  ? "data_ptr"
                         : wide ? "int64"
                                : "int32",
                         Part::core, Source::core, from.get, wide ? from.set : from.set_low});
    };
    if (wide) {
        for (const General& from : order_64) add(from);
    } else {
        for (const General& from : order_32) add(from);
    }
    table.push_back({wide ? "rip" : "eip", bits, "code_ptr", Part::core, Source::core, get_pc, set_pc});
    table.push_back(
        {"eflags", 32, "i386_eflags", Part::core, Source::core, get<&Registers::rflags>, set_low<&Registers::rflags>});
}

template <auto segment>
void add_selector(std::vector<RegisterEntry>& table, const char* name) {
    table.push_back({name, 32, "int32", Part::core, Source::core, get_selector<segment>, set_selector<segment>});
}

void add_selectors(std::vector<RegisterEntry>& table) {
    add_selector<&Registers::cs>(table, "cs");
    add_selector<&Registers::ss>(table, "ss");
    add_selector<&Registers::ds>(table, "ds");
    add_selector<&Registers::es>(table, "es");
    add_selector<&Registers::fs>(table, "fs");
    add_selector<&Registers::gs>(table, "gs");
}

template <auto segment>
void add_base(std::vector<RegisterEntry>& table, const char* name, Part part) {
    table.push_back({name, 64, "int64", part, Source::core, get_base<segment>, set_base<segment>});
}

template <auto table_register>
void add_table(std::vector<RegisterEntry>& table, const std::string& name) {
    table.push_back(
        {name + "_base", 64, "int64", Part::system, Source::core, get_base<table_register>, set_base<table_register>});
    table.push_back({name + "_limit", 32, "int32", Part::system, Source::core, get_table_limit<table_register>,
                     set_table_limit<table_register>});
}

template <auto member>
void add_control(std::vector<RegisterEntry>& table, const char* name) {
    table.push_back({name, 64, "int64", Part::system, Source::core, get<member>, set<member>});
}

}  // namespace

std::span<const NamedMsr> named_msrs() noexcept {
    static constexpr NamedMsr all[] = {{"msr_tsc", 0x10},
                                       {"msr_apic_base", 0x1b},
                                       {"msr_sysenter_cs", 0x174},
                                       {"msr_sysenter_esp", 0x175},
                                       {"msr_sysenter_eip", 0x176},
                                       {"msr_misc_enable", 0x1a0},
                                       {"msr_pat", 0x277},
                                       {"msr_tsc_deadline", 0x6e0},
                                       {"msr_star", 0xc000'0081},
                                       {"msr_lstar", 0xc000'0082},
                                       {"msr_cstar", 0xc000'0083},
                                       {"msr_sfmask", 0xc000'0084},
                                       {"msr_kernel_gs_base", 0xc000'0102},
                                       {"msr_tsc_aux", 0xc000'0103}};
    return all;
}

std::vector<RegisterEntry> register_table(Width width, bool avx) {
    const bool wide = width == Width::long64;
    std::vector<RegisterEntry> table;
    add_general(table, wide);
    add_selectors(table);
    add_fpu_registers(table, wide, avx);
    // In a description of 32 bits gdb does not know these two.
    add_base<&Registers::fs>(table, "fs_base", wide ? Part::segments : Part::system);
    add_base<&Registers::gs>(table, "gs_base", wide ? Part::segments : Part::system);
    add_base<&Registers::cs>(table, "cs_base", Part::system);
    add_base<&Registers::ss>(table, "ss_base", Part::system);
    add_base<&Registers::ds>(table, "ds_base", Part::system);
    add_base<&Registers::es>(table, "es_base", Part::system);
    add_control<&Registers::cr0>(table, "cr0");
    add_control<&Registers::cr2>(table, "cr2");
    add_control<&Registers::cr3>(table, "cr3");
    add_control<&Registers::cr4>(table, "cr4");
    add_control<&Registers::cr8>(table, "cr8");
    add_control<&Registers::efer>(table, "efer");
    add_table<&Registers::gdt>(table, "gdt");
    add_table<&Registers::idt>(table, "idt");
    table.push_back({"tr", 32, "int32", Part::system, Source::core, get_selector<&Registers::tr>});
    table.push_back({"ldt", 32, "int32", Part::system, Source::core, get_selector<&Registers::ldt>});
    for (const NamedMsr& msr : named_msrs()) {
        table.push_back({.name = std::string(msr.name),
                         .type = "int64",
                         .part = Part::msrs,
                         .source = Source::msrs,
                         .index = msr.index});
    }
    return table;
}

}  // namespace asyncvm::gdb
