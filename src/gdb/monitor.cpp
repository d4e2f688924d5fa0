#include "gdb/monitor.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <optional>
#include <utility>
#include <vector>

#include "gdb/register_file.hpp"
#include "text/parse.hpp"
#include "x86/bits.hpp"
#include "x86/page_walk.hpp"

namespace asyncvm::gdb {

namespace {

constexpr std::string_view help =
    "help                this text\n"
    "info regs           the registers of this thread's vCPU, as in a report\n"
    "info exits          its last exits\n"
    "info report         all that a report has\n"
    "info cpus           where each vCPU is\n"
    "info devices        which device is at which ports and addresses\n"
    "tlb ADDRESS         where a linear address leads to\n"
    "phys on|off         whether gdb reads and writes physical addresses\n"
    "reset               the guest starts anew, and stands (then: maintenance flush register-cache)\n"
    "quit                ends asyncvm\n";

std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    for (;;) {
        const auto begin = text.find_first_not_of(" \t\r\n");
        if (begin == text.npos) return words;
        const auto end = std::min(text.find_first_of(" \t\r\n", begin), text.size());
        words.emplace_back(text.substr(begin, end - begin));
        text.remove_prefix(end);
    }
}

std::string devices(const Bus& bus, const char* what) {
    std::string text;
    for (const auto& [range, device] : bus.ranges()) {
        text += fmt::format("{} {:#x}-{:#x}  {}\n", what, range.first, range.first + (range.size - 1), device);
    }
    return text;
}

std::string describe(const PageWalk& walk, std::uint64_t linear) {
    switch (walk.status) {
        case PageWalk::Status::mapped:
            return fmt::format("{:#x} is at {:#x}, in a page of {} KiB{}\n", linear, walk.physical, walk.page_size / 1024,
                               walk.level == 0 ? " (no paging)" : "");
        case PageWalk::Status::not_present:
            return fmt::format("{:#x} is not mapped: its entry in the table of level {} is not present\n", linear,
                               walk.level);
        case PageWalk::Status::not_canonical:
            return fmt::format("{:#x} is no canonical address\n", linear);
        case PageWalk::Status::table_outside:
            break;
    }
    return fmt::format("{:#x} is not mapped: the table of level {} is where there is no memory\n", linear, walk.level);
}

/// The part of a report from the line that begins with `from` to the one that begins with `to`.
std::string part(const std::string& report, std::string_view from, std::string_view to) {
    const auto begin = report.find(from);
    if (begin == report.npos) return report;
    return report.substr(begin, std::min(report.find(to, begin), report.size()) - begin);
}

awaitable<std::string> cpus(Debuggee& machine) {
    std::string text;
    for (unsigned cpu = 0; cpu < machine.cpus(); ++cpu) {
        const Registers registers = co_await machine.registers(cpu);
        text += fmt::format("vCPU {}: {}\n", cpu, where(registers));
    }
    co_return text;
}

awaitable<std::string> reset(Debuggee& machine) {
    std::string problem;
    try {
        co_await machine.reset();
    } catch (const Error& error) {
        problem = error.what();
    }
    co_return problem.empty() ? "the guest is at its start\n" : fmt::format("no reset: {}\n", problem);
}

}  // namespace

std::string where(const Registers& registers) {
    if ((registers.cr0 & cr0_pe) == 0) {
        return fmt::format("real mode, {:04x}:{:04x} (linear {:#x})", registers.cs.selector, registers.rip,
                           linear_pc(registers));
    }
    const char* const paging = (registers.cr0 & cr0_pg) != 0 ? "with paging" : "no paging";
    const Width width = width_of(registers);
    const int bits = width == Width::long64 ? 64 : width == Width::protected32 ? 32 : 16;
    return fmt::format("{} bits, {}, ring {}, {:#x}", bits, paging, registers.cs.selector & 3, linear_pc(registers));
}

awaitable<std::string> monitor(Debuggee& machine, unsigned cpu, std::string typed, std::function<void()> kill) {
    const auto words = words_of(typed);
    const std::string first = words.empty() ? "help" : words[0];
    const std::string second = words.size() > 1 ? words[1] : "";
    if (first == "help") co_return std::string(help);
    if (first == "quit") {
        kill();
        co_return "asyncvm ends\n";
    }
    if (first == "reset") {
        const std::string text = co_await reset(machine);
        co_return text;
    }
    if (first == "phys" && (second == "on" || second == "off" || second.empty())) {
        if (!second.empty()) machine.set_physical(second == "on");
        co_return fmt::format("gdb reads and writes {} addresses\n", machine.physical() ? "physical" : "the guest's linear");
    }
    if (first == "tlb") {
        const auto address = parse_number(second);
        if (!address) co_return "tlb needs an address (example: monitor tlb 0xffffffff81000000)\n";
        const Registers registers = co_await machine.registers(cpu);
        co_return describe(translate(machine.machine().memory(), registers, *address), *address);
    }
    if (first == "info" && second == "devices") {
        co_return devices(machine.machine().ports(), "port") + devices(machine.machine().mmio(), "memory");
    }
    if (first == "info" && second == "cpus") {
        const std::string text = co_await cpus(machine);
        co_return text;
    }
    if (first == "info" && (second == "regs" || second == "exits" || second == "report")) {
        const std::string report = co_await machine.machine().report(cpu);
        if (report.empty()) co_return fmt::format("vCPU {} has not begun\n", cpu);
        if (second == "regs") co_return part(report, "registers of", "\1");
        if (second == "exits") co_return part(report, "last exits", "registers of");
        co_return report;
    }
    co_return fmt::format("there is no such command: {}\n{}", typed, help);
}

}  // namespace asyncvm::gdb
