#include "boot/inspect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>

namespace asyncvm::boot {

namespace {

std::string_view mode_text(Mode mode) {
    switch (mode) {
        case Mode::real16:
            return "16-bit mode";
        case Mode::protected32:
            return "32-bit mode";
        case Mode::long64:
            return "64-bit mode";
    }
    return "an unknown mode";
}

std::string_view options_text(BootFormat format) {
    switch (format) {
        case BootFormat::flat:
            return "--load ADDR, --entry ADDR, --mode 16|32|64, --reg NAME=VALUE";
        case BootFormat::elf:
            return "none: plain ELF has no way to give a program a command line or files";
        case BootFormat::pvh:
        case BootFormat::multiboot:
        case BootFormat::multiboot2:
            return "--append TEXT, --module FILE[,ARGS], --initrd FILE";
        case BootFormat::bzimage:
            return "--append TEXT, --initrd FILE";
        case BootFormat::boot_sector:
            return "--serial SPEC: its screen and its keyboard; --disk FILE: its disk, if not its own file";
        case BootFormat::firmware:
            return "--memory SIZE, --cpus N: it finds them in fw_cfg and CMOS";
    }
    return "none";
}

std::string entry_text(const Entry& entry) {
    std::string text = fmt::format("{} at {:#x}", mode_text(entry.mode), entry.rip);
    const std::pair<std::string_view, std::uint64_t> registers[] = {
        {"ax", entry.rax}, {"bx", entry.rbx}, {"dx", entry.rdx}, {"si", entry.rsi}};
    const std::string_view width = entry.mode == Mode::long64 ? "r" : entry.mode == Mode::protected32 ? "e" : "";
    for (const auto& [name, value] : registers) {
        if (value != 0) text += fmt::format(", {}{} = {:#x}", width, name, value);
    }
    return text;
}

struct Row {
    std::uint64_t address;
    std::uint64_t size;
    std::string what;
};

std::vector<Row> list_rows(const Plan& plan) {
    std::vector<Row> rows;
    for (const Piece& piece : plan.pieces) rows.push_back({piece.address, piece.size, piece.name});
    for (const Reserved& kept : plan.reserved) rows.push_back({kept.address, kept.size, kept.name + " (kept free)"});
    std::erase_if(rows, [](const Row& row) { return row.size == 0; });
    std::ranges::sort(rows, {}, &Row::address);
    return rows;
}

}  // namespace

std::string inspect_plan(const std::string& name, const std::string& packing, const Plan& plan) {
    std::string text = fmt::format("{}: {}\n", name, plan.description);
    const auto out = std::back_inserter(text);
    if (!packing.empty()) fmt::format_to(out, "  packed: {}\n", packing);
    for (const auto& fact : plan.facts) fmt::format_to(out, "  {}\n", fact);
    fmt::format_to(out, "  starts: {}\n", entry_text(plan.entry));
    fmt::format_to(out, "  options: {}\n", options_text(plan.format));
    for (const auto& note : plan.notes) fmt::format_to(out, "  note: {}\n", note);
    text += "  memory, from the first to the last byte:\n";
    for (const Row& row : list_rows(plan)) {
        fmt::format_to(out, "    {:#12x} {:#12x}  {}\n", row.address, row.address + (row.size - 1), row.what);
    }
    return text;
}

}  // namespace asyncvm::boot
