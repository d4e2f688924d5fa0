#include "cli/option_values.hpp"

#include "boot/initial_state.hpp"
#include "text/parse.hpp"

#include <asyncvm/access.hpp>
#include <asyncvm/error.hpp>
#include <asyncvm/guest_memory.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>

namespace asyncvm::cli {
namespace {

std::uint64_t parse_scaled(std::string_view text, std::string_view option, const char* what, const char* examples) {
    std::string_view digits = text;
    const unsigned shift = take_unit(digits);
    const auto value = parse_number(digits);
    if (!value)
        throw Error(ErrorKind::usage, fmt::format("{} {}: that is no {} (examples: {})", option, text, what, examples));
    if (*value > std::numeric_limits<std::uint64_t>::max() >> shift) {
        throw Error(ErrorKind::usage, fmt::format("{} {}: that is more than 64 bits can hold", option, text));
    }
    return *value << shift;
}

}  // namespace

std::uint64_t parse_size(std::string_view text, std::string_view option) {
    return parse_scaled(text, option, "size", "64K, 128M, 2G, 0x100000");
}

std::uint64_t parse_address(std::string_view text, std::string_view option) {
    return parse_scaled(text, option, "address", "0x10000, 65536, 1M");
}

void check_memory_size(std::uint64_t bytes, std::string_view option) {
    if (bytes < smallest_memory || bytes > largest_memory) {
        throw Error(ErrorKind::usage,
                    fmt::format("{} {}: a guest has between 64K and 512G of memory (example: 128M)", option, bytes));
    }
    if (bytes % GuestMemory::page_size != 0) {
        throw Error(ErrorKind::usage, fmt::format("{} {}: it must be a multiple of 4096 (example: 128M; here {} would do)",
                                                  option, bytes, bytes / GuestMemory::page_size * GuestMemory::page_size));
    }
}

namespace {

struct General {
    std::array<std::string_view, 4> names;  ///< of 8, 4, 2 and 1 bytes
    std::uint64_t Registers::*member;
};

constexpr std::array<General, 16> generals{{
    {{"rax", "eax", "ax", "al"}, &Registers::rax},
    {{"rbx", "ebx", "bx", "bl"}, &Registers::rbx},
    {{"rcx", "ecx", "cx", "cl"}, &Registers::rcx},
    {{"rdx", "edx", "dx", "dl"}, &Registers::rdx},
    {{"rsi", "esi", "si", "sil"}, &Registers::rsi},
    {{"rdi", "edi", "di", "dil"}, &Registers::rdi},
    {{"rsp", "esp", "sp", "spl"}, &Registers::rsp},
    {{"rbp", "ebp", "bp", "bpl"}, &Registers::rbp},
    {{"r8", "r8d", "r8w", "r8b"}, &Registers::r8},
    {{"r9", "r9d", "r9w", "r9b"}, &Registers::r9},
    {{"r10", "r10d", "r10w", "r10b"}, &Registers::r10},
    {{"r11", "r11d", "r11w", "r11b"}, &Registers::r11},
    {{"r12", "r12d", "r12w", "r12b"}, &Registers::r12},
    {{"r13", "r13d", "r13w", "r13b"}, &Registers::r13},
    {{"r14", "r14d", "r14w", "r14b"}, &Registers::r14},
    {{"r15", "r15d", "r15w", "r15b"}, &Registers::r15},
}};

struct SegmentName {
    std::string_view name;
    Segment Registers::*member;
};

constexpr std::array<SegmentName, 6> segments{{{"cs", &Registers::cs},
                                               {"ds", &Registers::ds},
                                               {"es", &Registers::es},
                                               {"fs", &Registers::fs},
                                               {"gs", &Registers::gs},
                                               {"ss", &Registers::ss}}};

constexpr std::array<std::string_view, 4> instruction_pointer{"rip", "eip", "ip", ""};
constexpr std::array<std::string_view, 4> flags{"rflags", "eflags", "flags", ""};

/// The bits that software may set: without the reserved ones, and without VM, which real mode and long mode don't have.
constexpr std::uint64_t rflags_fixed = 0x2;
constexpr std::uint64_t rflags_allowed = 0x3d'7fd5;

struct Target {
    enum class Kind { general, instruction_pointer, flags, segment } kind;
    unsigned size;  ///< bytes that a value may have
    std::uint64_t Registers::*member = nullptr;
    Segment Registers::*segment = nullptr;
};

unsigned size_in(const std::array<std::string_view, 4>& names, std::string_view name) {
    constexpr std::array<unsigned, 4> sizes{8, 4, 2, 1};
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (!names[i].empty() && names[i] == name) return sizes[i];
    }
    return 0;
}

std::optional<Target> find(std::string_view name) {
    for (const General& general : generals) {
        if (const unsigned size = size_in(general.names, name)) return Target{Target::Kind::general, size, general.member};
    }
    if (const unsigned size = size_in(instruction_pointer, name)) {
        return Target{Target::Kind::instruction_pointer, size, &Registers::rip};
    }
    if (const unsigned size = size_in(flags, name)) return Target{Target::Kind::flags, size, &Registers::rflags};
    for (const SegmentName& segment : segments) {
        if (segment.name == name) return Target{Target::Kind::segment, 2, nullptr, segment.member};
    }
    return std::nullopt;
}

[[noreturn]] void fail(const std::string& text, const std::string& why) {
    throw Error(ErrorKind::usage, fmt::format("--reg {}: {}", text, why));
}

std::string lower(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

/// A number that fits `size` bytes, with or without a sign.
std::optional<std::uint64_t> negative(std::string_view digits, unsigned size) {
    const auto magnitude = parse_number(digits);
    if (!magnitude || *magnitude > all_ones(size) / 2 + 1) return std::nullopt;
    return (0 - *magnitude) & all_ones(size);
}

std::uint64_t parse_value(const RegisterSetting& setting, std::string_view digits, const Target& target) {
    if (digits.starts_with('-')) {
        if (target.kind != Target::Kind::general) fail(setting.text, fmt::format("{} can't be negative", setting.name));
        const auto value = negative(digits.substr(1), target.size);
        if (!value) fail(setting.text, fmt::format("{} is no number, or too small for {}", digits, setting.name));
        return *value;
    }
    const auto value = parse_number(digits);
    if (!value) fail(setting.text, fmt::format("\"{}\" is no number of 64 bits (examples: 42, 0x2a, 0b101010, -1)", digits));
    if (*value > all_ones(target.size)) {
        fail(setting.text, fmt::format("{} takes at most {:#x}", setting.name, all_ones(target.size)));
    }
    return *value;
}

void check_rip(const RegisterSetting& setting, Mode mode) {
    const std::uint64_t value = setting.value;
    if (mode == Mode::real16 && value > 0xffff) {
        fail(setting.text,
             "in 16-bit mode it is an offset into the code segment, at most 0xffff (--entry takes an address)");
    }
    if (mode == Mode::protected32 && value > 0xffff'ffff) fail(setting.text, "in 32-bit mode it is at most 0xffffffff");
    const std::uint64_t top = value >> 47;
    if (top != 0 && top != 0x1'ffff) fail(setting.text, "that is no canonical address: bits 63 to 47 must be equal");
}

}  // namespace

RegisterSetting parse_register(std::string_view text) {
    RegisterSetting setting;
    setting.text = std::string(text);
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) fail(setting.text, "it must be NAME=VALUE or CPU:NAME=VALUE (example: rax=0x2a)");
    std::string_view name = text.substr(0, equals);
    if (const std::size_t colon = name.find(':'); colon != std::string_view::npos) {
        const auto cpu = parse_number(name.substr(0, colon));
        if (!cpu || *cpu > 0xffff) fail(setting.text, fmt::format("\"{}\" is no number of a vCPU", name.substr(0, colon)));
        setting.cpu = static_cast<unsigned>(*cpu);
        name.remove_prefix(colon + 1);
    }
    setting.name = lower(name);
    const auto target = find(setting.name);
    if (!target) {
        fail(setting.text,
             fmt::format("there is no register \"{}\" (rax rbx rcx rdx rsi rdi rsp rbp r8 to r15 and their parts "
                         "such as eax, ax, al; rip, rflags; in 16-bit mode cs ds es fs gs ss)",
                         name));
    }
    setting.value = parse_value(setting, text.substr(equals + 1), *target);
    return setting;
}

void apply(Registers& registers, const RegisterSetting& setting, Mode mode) {
    const auto target = find(setting.name);
    if (!target) fail(setting.text, fmt::format("there is no register \"{}\"", setting.name));
    switch (target->kind) {
        case Target::Kind::general:
            registers.*target->member = setting.value;
            break;
        case Target::Kind::instruction_pointer:
            check_rip(setting, mode);
            registers.rip = setting.value;
            break;
        case Target::Kind::flags:
            if (const std::uint64_t wrong = setting.value & ~(rflags_allowed | rflags_fixed); wrong != 0) {
                fail(setting.text, fmt::format("bits {:#x} can't be set at the start", wrong));
            }
            registers.rflags = setting.value | rflags_fixed;
            break;
        case Target::Kind::segment:
            if (mode != Mode::real16) {
                fail(setting.text,
                     "segment registers can be set in 16-bit mode only; in the others the guest loads them itself");
            }
            registers.*target->segment =
                real_mode_segment(static_cast<std::uint16_t>(setting.value), target->segment == &Registers::cs);
            break;
    }
}

void apply_all(Registers& registers, unsigned cpu, std::span<const RegisterSetting> settings, Mode mode) {
    for (const RegisterSetting& setting : settings) {
        if (setting.cpu.value_or(cpu) == cpu) apply(registers, setting, mode);
    }
}

void check_cpus(std::span<const RegisterSetting> settings, unsigned cpus) {
    for (const RegisterSetting& setting : settings) {
        if (setting.cpu && *setting.cpu >= cpus) {
            fail(setting.text,
                 fmt::format("there is no vCPU {}: with --cpus {} they are 0 to {}", *setting.cpu, cpus, cpus - 1));
        }
    }
}

}  // namespace asyncvm::cli
