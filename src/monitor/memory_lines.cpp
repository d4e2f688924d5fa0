#include "monitor/memory_lines.hpp"

#include "monitor/expression.hpp"
#include "monitor/human_error.hpp"
#include "monitor/memory_text.hpp"
#include "report/disassembler.hpp"
#include "x86/bits.hpp"
#include "x86/linear.hpp"
#include "x86/page_walk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace asyncvm::monitor {

namespace {

/// What one line can ask for, in bytes.
constexpr std::uint64_t most_bytes = 1 << 20;

std::vector<std::byte> bytes_at(const MemoryLine& line, std::uint64_t address, std::uint64_t size, bool physical) {
    std::vector<std::byte> bytes(size);
    bytes.resize(physical ? line.memory.read(address, bytes) : read_linear(line.memory, line.registers, address, bytes));
    return bytes;
}

unsigned bits_of(const Registers& registers) {
    if (in_64_bits(registers)) return 64;
    return (registers.cr0 & cr0_pe) != 0 && registers.cs.default_32 ? 32 : 16;
}

std::string instructions(const MemoryLine& line, std::uint64_t address, std::uint64_t count,
                         std::span<const std::byte> bytes) {
    const auto all = disassemble(bytes, address, bits_of(line.registers));
    std::string text;
    for (const Instruction& one : std::span(all).first(std::min<std::uint64_t>(count, all.size()))) {
        std::string code;
        for (const std::byte byte : one.bytes) code += fmt::format("{:02x} ", std::to_integer<unsigned>(byte));
        text += fmt::format("{:#010x}:  {:<24} {}\n", one.address, code, one.text);
    }
    if (all.size() < count) text += fmt::format("{:#010x}: unable to read memory\n", address + bytes.size());
    return text;
}

std::string dump(const MemoryLine& line, bool physical) {
    constexpr std::uint64_t longest_instruction = 15;
    auto words = line.words;
    const MemoryFormat format = take_format(words);
    const auto address = evaluate(words, line.registers);
    const auto size = format.count * (format.how == 'i' ? longest_instruction : format.size);
    if (size > most_bytes)
        throw HumanError(fmt::format("at most {} bytes at a time (memsave and pmemsave write more)", most_bytes));
    const auto bytes = bytes_at(line, address, size, physical);
    if (format.how == 'i') return instructions(line, address, format.count, bytes);
    std::string text = memory_text(bytes, address, format);
    if (bytes.size() < size) {
        const auto told = bytes.size() / format.size * format.size;
        text += fmt::format("{:016x}: Cannot access memory\n", address + told);
    }
    return text;
}

}  // namespace

std::string linear_memory_text(const MemoryLine& line) { return dump(line, false); }
std::string physical_memory_text(const MemoryLine& line) { return dump(line, true); }

std::string value_text(const MemoryLine& line) {
    auto words = line.words;
    MemoryFormat format = take_format(words);
    format.size = 8;
    return number_text(evaluate(words, line.registers), format) + "\n";
}

std::string guest_physical_text(const MemoryLine& line) {
    const auto walk = translate(line.memory, line.registers, evaluate(line.words, line.registers));
    return walk.status == PageWalk::Status::mapped ? fmt::format("gpa: {:#x}\n", walk.physical) : "Unmapped\n";
}

}  // namespace asyncvm::monitor
