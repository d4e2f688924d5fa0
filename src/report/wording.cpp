#include "report/wording.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <string_view>
#include <utility>

#include "report/code_context.hpp"

namespace asyncvm {
namespace {

bool printable(std::uint8_t byte) noexcept { return byte >= 0x20 && byte < 0x7f; }

std::string one_value(const ExitHistory::Record& record) {
    std::string text = fmt::format("{:#0{}x}", record.data, 2 + 2 * record.valid);
    if (record.valid == 1 && printable(static_cast<std::uint8_t>(record.data))) {
        text += fmt::format(" '{}'", static_cast<char>(record.data));
    }
    return text;
}

/// `12 x 1 byte: 48 65 6c 6c 6f 2c 20 77 ... "Hello, w"`.
std::string many_values(const ExitHistory::Record& record) {
    std::array<std::byte, sizeof record.data> bytes{};
    std::memcpy(bytes.data(), &record.data, bytes.size());
    const auto known = std::span<const std::byte>(bytes).first(record.valid);
    std::string text =
        fmt::format("{} x {} byte{}: {}", record.count, record.size, record.size == 1 ? "" : "s", hex_bytes(known));
    if (std::uint64_t{record.count} * record.size > record.valid) text += " ...";
    if (record.size != 1) return text;
    text += " \"";
    for (const std::byte byte : known) {
        const auto value = std::to_integer<std::uint8_t>(byte);
        text += printable(value) ? static_cast<char>(value) : '.';
    }
    return text + '"';
}

std::string values(const ExitHistory::Record& record) {
    if (record.valid == 0) return "(no answer yet)";
    return record.count == 1 ? one_value(record) : many_values(record);
}

std::string transfer(const ExitHistory::Record& record, const DeviceName& device_name) {
    const bool port = record.kind == ExitHistory::Kind::port;
    const bool read = record.direction == Direction::read;
    const char* const verb = port ? (read ? "in" : "out") : (read ? "read" : "write");
    std::string text = fmt::format("{} {:#x} {} {}", verb, record.address, read ? "->" : "<-", values(record));
    if (device_name) {
        const std::string name = device_name(port ? Space::port : Space::memory, record.address);
        text += fmt::format(" ({})", name.empty() ? "no device" : name);
    }
    return text;
}

std::string what(const ExitHistory::Record& record, const DeviceName& device_name) {
    switch (record.kind) {
        case ExitHistory::Kind::port:
        case ExitHistory::Kind::mmio:
            return transfer(record, device_name);
        case ExitHistory::Kind::halted:
            return "hlt";
        case ExitHistory::Kind::shut_down:
            return "triple fault";
        case ExitHistory::Kind::debug:
            return "debug exit";
        case ExitHistory::Kind::system_event:
            return "system event";
        case ExitHistory::Kind::failure:
            return "failure";
    }
    return "exit";
}

using BitName = std::pair<unsigned, std::string_view>;

constexpr std::array<BitName, 16> rflags_bits{{{0, "cf"},
                                               {2, "pf"},
                                               {4, "af"},
                                               {6, "zf"},
                                               {7, "sf"},
                                               {8, "tf"},
                                               {9, "if"},
                                               {10, "df"},
                                               {11, "of"},
                                               {14, "nt"},
                                               {16, "rf"},
                                               {17, "vm"},
                                               {18, "ac"},
                                               {19, "vif"},
                                               {20, "vip"},
                                               {21, "id"}}};
constexpr std::array<BitName, 11> cr0_bits{{{0, "pe"},
                                            {1, "mp"},
                                            {2, "em"},
                                            {3, "ts"},
                                            {4, "et"},
                                            {5, "ne"},
                                            {16, "wp"},
                                            {18, "am"},
                                            {29, "nw"},
                                            {30, "cd"},
                                            {31, "pg"}}};
constexpr std::array<BitName, 21> cr4_bits{
    {{0, "vme"},   {1, "pvi"},       {2, "tsd"},    {3, "de"},          {4, "pse"},   {5, "pae"},   {6, "mce"},
     {7, "pge"},   {8, "pce"},       {9, "osfxsr"}, {10, "osxmmexcpt"}, {11, "umip"}, {12, "la57"}, {13, "vmxe"},
     {14, "smxe"}, {16, "fsgsbase"}, {17, "pcide"}, {18, "osxsave"},    {20, "smep"}, {21, "smap"}, {22, "pke"}}};
constexpr std::array<BitName, 6> efer_bits{{{0, "sce"}, {8, "lme"}, {10, "lma"}, {11, "nxe"}, {12, "svme"}, {14, "ffxsr"}}};

template <std::size_t Size>
std::string bit_names(std::uint64_t value, const std::array<BitName, Size>& names) {
    std::string text;
    for (const auto& [bit, name] : names) {
        if ((value >> bit & 1) != 0) text += fmt::format("{}{}", text.empty() ? "" : " ", name);
    }
    return '[' + text + ']';
}

struct Named {
    std::string_view name;
    std::uint64_t value;
};

/// Four a line. `wide` shows 64 bits and rax, otherwise 32 and eax.
template <std::size_t Size>
void add_general(std::string& text, const std::array<Named, Size>& values, bool wide) {
    for (std::size_t i = 0; i < Size; ++i) {
        text += i % 4 == 0 ? "  " : "  ";
        if (wide) {
            text += fmt::format("{:<3} {:016x}", values[i].name, values[i].value);
        } else {
            text += fmt::format("e{} {:08x}", values[i].name.substr(1), values[i].value & 0xffff'ffff);
        }
        if (i % 4 == 3) text += '\n';
    }
}

std::string segment_kind(const Segment& segment) {
    if (!segment.present) return "not present";
    if (!segment.code_or_data) return fmt::format("system type {}", segment.type);
    if ((segment.type & 8) == 0) return segment.default_32 ? "data 32-bit" : "data 16-bit";
    if (segment.long_mode) return "code 64-bit";
    return segment.default_32 ? "code 32-bit" : "code 16-bit";
}

void add_segment(std::string& text, std::string_view name, const Segment& segment, bool wide) {
    text += fmt::format("  {:<3} {:04x}  base {:0{}x}  limit {:08x}  dpl {}  {}\n", name, segment.selector, segment.base,
                        wide ? 16 : 8, segment.limit, segment.dpl, segment_kind(segment));
}

}  // namespace

std::string describe(const ExitHistory::Record& record, const DeviceName& device_name) {
    auto text = fmt::format("{} at rip {:#x}", what(record, device_name), record.rip);
    if (record.times > 1) text += fmt::format(", {} times", record.times);
    return text;
}

std::string hex_bytes(std::span<const std::byte> bytes) {
    std::string text;
    for (const std::byte byte : bytes) fmt::format_to(std::back_inserter(text), "{}{:02x}", text.empty() ? "" : " ", byte);
    return text;
}

std::string format_registers(const Registers& registers) {
    const bool wide = code_bits(registers) == 64;
    const unsigned digits = wide ? 16 : 8;
    std::string text = fmt::format("  {} {:0{}x}  {} {:08x} {} iopl {}\n", wide ? "rip" : "eip", registers.rip, digits,
                                   wide ? "rflags" : "eflags", registers.rflags, bit_names(registers.rflags, rflags_bits),
                                   registers.rflags >> 12 & 3);
    add_general(text,
                std::array<Named, 8>{{{"rax", registers.rax},
                                      {"rbx", registers.rbx},
                                      {"rcx", registers.rcx},
                                      {"rdx", registers.rdx},
                                      {"rsi", registers.rsi},
                                      {"rdi", registers.rdi},
                                      {"rsp", registers.rsp},
                                      {"rbp", registers.rbp}}},
                wide);
    if (wide) {
        add_general(text,
                    std::array<Named, 8>{{{"r8", registers.r8},
                                          {"r9", registers.r9},
                                          {"r10", registers.r10},
                                          {"r11", registers.r11},
                                          {"r12", registers.r12},
                                          {"r13", registers.r13},
                                          {"r14", registers.r14},
                                          {"r15", registers.r15}}},
                    true);
    }
    add_segment(text, "cs", registers.cs, wide);
    add_segment(text, "ds", registers.ds, wide);
    add_segment(text, "es", registers.es, wide);
    add_segment(text, "fs", registers.fs, wide);
    add_segment(text, "gs", registers.gs, wide);
    add_segment(text, "ss", registers.ss, wide);
    add_segment(text, "tr", registers.tr, wide);
    add_segment(text, "ldt", registers.ldt, wide);
    text += fmt::format("  gdt base {:0{}x}  limit {:04x}\n", registers.gdt.base, digits, registers.gdt.limit);
    text += fmt::format("  idt base {:0{}x}  limit {:04x}\n", registers.idt.base, digits, registers.idt.limit);
    text += fmt::format("  cr0 {:08x} {}\n", registers.cr0, bit_names(registers.cr0, cr0_bits));
    text += fmt::format("  cr2 {:0{}x}  cr3 {:0{}x}\n", registers.cr2, digits, registers.cr3, digits);
    text += fmt::format("  cr4 {:08x} {}\n", registers.cr4, bit_names(registers.cr4, cr4_bits));
    text += fmt::format("  efer {:08x} {}\n", registers.efer, bit_names(registers.efer, efer_bits));
    return text;
}

}  // namespace asyncvm
