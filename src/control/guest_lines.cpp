#include "control/guest_lines.hpp"

#include "control/block_lines.hpp"
#include "control/memory_text.hpp"
#include "control/monitor_expression.hpp"
#include "control/registers_text.hpp"
#include "report/disassembler.hpp"
#include "x86/bits.hpp"
#include "x86/linear.hpp"
#include "x86/page_walk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace asyncvm::control {

namespace {

/// What one line can ask for, in bytes.
constexpr std::uint64_t most_bytes = 1 << 20;

struct Look {
    const GuestMemory& memory;
    const Registers& registers;
    unsigned cpu;
    std::string_view words;  ///< behind the command
};

std::vector<std::byte> bytes_at(const Look& look, std::uint64_t address, std::uint64_t size, bool physical) {
    std::vector<std::byte> bytes(size);
    bytes.resize(physical ? look.memory.read(address, bytes) : read_linear(look.memory, look.registers, address, bytes));
    return bytes;
}

unsigned bits_of(const Registers& registers) {
    if (in_64_bits(registers)) return 64;
    return (registers.cr0 & cr0_pe) != 0 && registers.cs.default_32 ? 32 : 16;
}

std::string instructions(const Look& look, std::uint64_t address, std::uint64_t count, std::span<const std::byte> bytes) {
    const auto all = disassemble(bytes, address, bits_of(look.registers));
    std::string text;
    for (const Instruction& one : std::span(all).first(std::min<std::uint64_t>(count, all.size()))) {
        std::string code;
        for (const std::byte byte : one.bytes) code += fmt::format("{:02x} ", std::to_integer<unsigned>(byte));
        text += fmt::format("{:#010x}:  {:<24} {}\r\n", one.address, code, one.text);
    }
    if (all.size() < count) text += fmt::format("{:#010x}: unable to read memory\r\n", address + bytes.size());
    return text;
}

std::string dump(const Look& look, bool physical) {
    constexpr std::uint64_t longest_instruction = 15;
    auto words = look.words;
    const MemoryFormat format = take_format(words);
    const auto address = evaluate(words, look.registers);
    const auto size = format.count * (format.how == 'i' ? longest_instruction : format.size);
    if (size > most_bytes)
        throw HumanError(fmt::format("at most {} bytes at a time (memsave and pmemsave write more)", most_bytes));
    const auto bytes = bytes_at(look, address, size, physical);
    if (format.how == 'i') return instructions(look, address, format.count, bytes);
    std::string text = memory_text(bytes, address, format);
    if (bytes.size() < size) {
        const auto told = bytes.size() / format.size * format.size;
        text += fmt::format("{:016x}: Cannot access memory\r\n", address + told);
    }
    return text;
}

std::string virtual_dump(const Look& look) { return dump(look, false); }
std::string physical_dump(const Look& look) { return dump(look, true); }

std::string print(const Look& look) {
    auto words = look.words;
    MemoryFormat format = take_format(words);
    format.size = 8;
    return number_text(evaluate(words, look.registers), format) + "\r\n";
}

std::string guest_physical(const Look& look) {
    const auto walk = translate(look.memory, look.registers, evaluate(look.words, look.registers));
    return walk.status == PageWalk::Status::mapped ? fmt::format("gpa: {:#x}\r\n", walk.physical) : "Unmapped\r\n";
}

std::string registers_of_one(const Look& look) {
    if (!look.words.empty()) throw HumanError("the vCPU is cpu-index, or -a for all");
    return registers_text(look.registers, look.cpu);
}

struct GuestLine {
    std::string_view name;
    std::string_view other_name;
    std::string_view parameters;
    std::string_view what;
    std::string (*answer)(const Look&);
};

constexpr GuestLine lines[] = {
    {"x", "", "/fmt addr", "virtual memory from 'addr' on; fmt: count, x d u o c i, b h w g", virtual_dump},
    {"xp", "", "/fmt addr", "the same of physical memory", physical_dump},
    {"print", "p", "/fmt expr", "the value of an expression: $rip, $cs.base, 1+2*3", print},
    {"gva2gpa", "", "addr", "the guest physical address of a virtual one", guest_physical},
    {"info registers", "", "[-a]", "the registers of a vCPU (cpu-index), or of all", registers_of_one},
};

/// Whether `line` is `name` alone, or with something behind it; takes it off. A format may stand right behind it.
bool take_name(std::string_view& line, std::string_view name) {
    if (name.empty() || !line.starts_with(name)) return false;
    const auto rest = line.substr(name.size());
    if (!rest.empty() && rest.front() != ' ' && rest.front() != '/') return false;
    line = rest.substr(std::min(rest.find_first_not_of(' '), rest.size()));
    return true;
}

awaitable<Registers> registers_of(Machine& machine, unsigned cpu) {
    // Shared: the work may come when the wait for it has been given up.
    const auto found = std::make_shared<Registers>();
    std::function<void(Cpu&)> look = [found](Cpu& from) { *found = from.registers(); };
    co_await machine.call(cpu, std::move(look));
    co_return *found;
}

awaitable<std::string> registers_of_all(Machine& machine) {
    std::string text;
    for (unsigned cpu = 0; cpu < machine.cpus(); ++cpu) {
        const Registers registers = co_await registers_of(machine, cpu);
        text += registers_text(registers, cpu);
    }
    co_return text;
}

std::string answer(const GuestLine& line, const Look& look) {
    try {
        return line.answer(look);
    } catch (const HumanError& error) {
        return fmt::format("{}\r\nTry \"help\" for more information\r\n", error.what());
    }
}

}  // namespace

awaitable<std::optional<std::string>> guest_line(Machine& machine, std::string line, unsigned cpu) {
    std::optional<std::string> text;
    std::string_view words;
    const auto* const found = std::ranges::find_if(lines, [&](const GuestLine& one) {
        words = line;
        return take_name(words, one.name) || take_name(words, one.other_name);
    });
    if (found == std::end(lines)) co_return text;
    if (found->answer == registers_of_one && words == "-a") {
        text = co_await registers_of_all(machine);
        co_return text;
    }
    const Registers registers = co_await registers_of(machine, cpu);
    text = answer(*found, {machine.memory(), registers, cpu, words});
    co_return text;
}

std::string guest_lines_help() {
    std::string text;
    for (const GuestLine& line : lines) {
        const auto name =
            line.other_name.empty() ? std::string(line.name) : fmt::format("{}|{}", line.name, line.other_name);
        text += fmt::format("{} {} -- {}\r\n", name, line.parameters, line.what);
    }
    return text;
}

}  // namespace asyncvm::control
