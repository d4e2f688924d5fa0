#include "report/code.hpp"

#include "report/disassembler.hpp"
#include "report/wording.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace asyncvm {
namespace {

constexpr std::size_t lines_before = 4;
constexpr std::size_t lines_after = 6;
constexpr std::uint64_t known_reach = 32;  ///< bytes before RIP where a known instruction is looked for
constexpr std::uint64_t guess_reach = 16;  ///< and where one is guessed

/// The instructions in `bytes`, if they end just where `bytes` end and all of them are some.
std::optional<std::vector<Instruction>> decode_exactly(std::span<const std::byte> bytes, std::uint64_t rip, unsigned bits) {
    std::vector<Instruction> lines = disassemble(bytes, rip, bits);
    std::size_t size = 0;
    for (const Instruction& line : lines) {
        if (line.text == "(bad)") return std::nullopt;
        size += line.bytes.size();
    }
    if (size != bytes.size()) return std::nullopt;
    return lines;
}

bool is_zero(const Instruction& line) {
    return std::ranges::all_of(line.bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

/// x86 can't be read backwards. The guest's entry and the RIPs of exits are starts of instructions, or ends of them; without
/// one in reach any start is tried, the farthest first, as wrong starts tend to fall into step.
std::vector<Instruction> decode_before(const CrashContext& crash, const CodeContext& context,
                                       std::span<const std::byte> before) {
    const std::uint64_t rip = context.registers.rip;
    std::set<std::uint64_t> starts;
    const auto add_start = [&](std::uint64_t start) {
        if (start < rip && rip - start <= std::min<std::uint64_t>(known_reach, before.size())) starts.insert(start);
    };
    for (std::size_t i = 0; i < crash.history.size(); ++i) add_start(crash.history[i].rip);
    if (crash.started_with != nullptr && crash.started_with->cs.base == context.registers.cs.base)
        add_start(crash.started_with->rip);
    for (const std::uint64_t start : starts) {
        if (auto lines = decode_exactly(before.last(rip - start), start, context.bits)) return *std::move(lines);
    }
    for (std::uint64_t length = std::min<std::uint64_t>(guess_reach, before.size()); length > 0; --length) {
        auto lines = decode_exactly(before.last(length), rip - length, context.bits);
        if (!lines) continue;
        // Memory that was never written says nothing, here in front of the code and below behind it.
        lines->erase(lines->begin(), std::ranges::find_if_not(*lines, is_zero));
        return *std::move(lines);
    }
    return {};
}

std::string label(const CodeContext& context, std::uint64_t rip) {
    if (has_paragraphs(context.registers)) return fmt::format("{:04x}:{:04x}", context.registers.cs.selector, rip);
    return fmt::format("{:#x}", rip);
}

void add_lines(std::string& text, const CodeContext& context, std::span<const Instruction> lines) {
    for (const Instruction& line : lines) {
        std::string row = fmt::format("  {} {}  {:<24}{}", line.address == context.registers.rip ? "=>" : "  ",
                                      label(context, line.address), hex_bytes(line.bytes), line.text);
        row.erase(row.find_last_not_of(' ') + 1);
        text += row + '\n';
    }
}

}  // namespace

std::string why_unreadable(const CodeContext& context) {
    switch (context.walk.status) {
        case PageWalk::Status::mapped:
            break;
        case PageWalk::Status::not_canonical:
            return "it is no canonical address";
        case PageWalk::Status::not_present:
            return fmt::format("the page tables do not map it (the entry at level {} is not present)", context.walk.level);
        case PageWalk::Status::table_outside:
            return fmt::format("its page table at level {} is not in memory", context.walk.level);
    }
    if (!context.code.empty()) return {};
    if (context.walk.physical == context.linear) return "there is no memory";
    return fmt::format("there is no memory at {:#x}, where the page tables map it to", context.walk.physical);
}

std::string format_code(const CrashContext& crash, const CodeContext& context) {
    if (context.code.empty())
        return fmt::format("     nothing can be read at {:#x}: {}\n", context.linear, why_unreadable(context));

    std::vector<std::byte> before(std::min<std::uint64_t>(known_reach, context.registers.rip));
    // As much as there is: the first byte that can be read may be in the middle.
    while (!before.empty() &&
           read_linear(crash.memory, context.registers, context.linear - before.size(), before) != before.size()) {
        before.pop_back();
    }
    std::string text;
    const auto older = decode_before(crash, context, before);
    add_lines(text, context, std::span(older).last(std::min(older.size(), lines_before)));
    auto newer = disassemble(context.code, context.registers.rip, context.bits);
    newer.resize(std::min(newer.size(), lines_after));
    while (newer.size() > 1 && is_zero(newer.back())) newer.pop_back();
    add_lines(text, context, newer);
    return text;
}

}  // namespace asyncvm
