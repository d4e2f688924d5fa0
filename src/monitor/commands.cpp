#include "monitor/commands.hpp"

#include "monitor/expression.hpp"
#include "monitor/human_error.hpp"
#include "monitor/interrupt_text.hpp"
#include "monitor/memory_lines.hpp"
#include "monitor/memory_map_text.hpp"
#include "monitor/page_text.hpp"
#include "monitor/registers_text.hpp"
#include "monitor/report_parts.hpp"
#include "text/parse.hpp"
#include "x86/page_walk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <utility>

namespace asyncvm::monitor {

/// What a person has typed, and of which vCPU.
struct Request {
    View& view;
    unsigned cpu;
    std::string words;  ///< behind the command
};

namespace {

using RequestPtr = std::shared_ptr<const Request>;

void expect_no_words(const Request& request) {
    if (!request.words.empty()) throw HumanError("extraneous characters at the end of line");
}

/// The vCPU whose number is typed behind the command, or else the one that is talked of. It need not exist.
std::uint64_t chosen_cpu(const Request& request, const Registers& registers) {
    return request.words.empty() ? request.cpu : evaluate(request.words, registers);
}

bool exists(const Request& request, std::uint64_t cpu) { return cpu < request.view.machine().cpus(); }

template <std::string (*text)(const MemoryLine&)>
awaitable<std::string> about_memory(RequestPtr request) {
    const Registers registers = co_await request->view.registers(request->cpu);
    co_return text({request->view.machine().memory(), registers, request->words});
}

awaitable<std::string> registers_of_all(RequestPtr request) {
    std::string text;
    for (unsigned cpu = 0; cpu < request->view.machine().cpus(); ++cpu) {
        const Registers registers = co_await request->view.registers(cpu);
        text += registers_text(registers, cpu);
    }
    co_return text;
}

awaitable<std::string> registers_of_one(RequestPtr request) {
    Registers registers = co_await request->view.registers(request->cpu);
    const auto cpu = chosen_cpu(*request, registers);
    if (!exists(*request, cpu)) co_return fmt::format("CPU#{} not available\n", cpu);
    const auto index = static_cast<unsigned>(cpu);
    if (index != request->cpu) registers = co_await request->view.registers(index);
    co_return registers_text(registers, index);
}

awaitable<std::string> all_or_one(RequestPtr request) {
    return request->words == "-a" ? registers_of_all(request) : registers_of_one(request);
}

template <std::string (*text)(const GuestMemory&, const Registers&, ListingLimits)>
awaitable<std::string> about_pages(RequestPtr request) {
    expect_no_words(*request);
    const Registers registers = co_await request->view.registers(request->cpu);
    co_return text(request->view.machine().memory(), registers, {});
}

/// Where one address leads to. A number is also one as everywhere else in the program: in binary, with a leading 0.
awaitable<std::string> walk_to(RequestPtr request) {
    if (request->words.empty()) throw HumanError("tlb needs an address (example: tlb 0xffffffff81000000)");
    const Registers registers = co_await request->view.registers(request->cpu);
    const auto number = parse_number(request->words);
    const std::uint64_t address = number ? *number : evaluate(request->words, registers);
    co_return walk_text(translate(request->view.machine().memory(), registers, address), address);
}

awaitable<std::string> memory_map(RequestPtr request) {
    expect_no_words(*request);
    const auto interrupts = co_await request->view.interrupts(request->cpu);
    Machine& machine = request->view.machine();
    co_return memory_map_text(machine.memory(), machine.mmio().ranges(), interrupts);
}

constexpr std::string_view no_irqchip = "the accelerator has no interrupt controllers for this guest (--irqchip on)\n";

awaitable<std::string> interrupt_controllers(RequestPtr request) {
    expect_no_words(*request);
    const auto interrupts = co_await request->view.interrupts(request->cpu);
    co_return interrupts ? describe_interrupts(*interrupts, request->cpu) : std::string(no_irqchip);
}

awaitable<std::string> local_apic(RequestPtr request) {
    const Registers registers = co_await request->view.registers(request->cpu);
    const auto cpu = chosen_cpu(*request, registers);
    if (!exists(*request, cpu)) co_return "No CPU available\n";
    const auto index = static_cast<unsigned>(cpu);
    const auto interrupts = co_await request->view.interrupts(index);
    co_return interrupts ? describe_local_apic(interrupts->local, index) : std::string(no_irqchip);
}

awaitable<std::string> last_exits(RequestPtr request) {
    expect_no_words(*request);
    const std::string report = co_await request->view.machine().report(request->cpu);
    co_return report.empty() ? fmt::format("vCPU {} has not begun\n", request->cpu) : exits_of(report);
}

constexpr Command all_commands[] = {
    {"x", "", "/FMT ADDRESS", "virtual memory from there on; FMT: count, x d u o c i, b h w g",
     about_memory<linear_memory_text>},
    {"xp", "", "/FMT ADDRESS", "the same of physical memory", about_memory<physical_memory_text>},
    {"print", "p", "/FMT EXPRESSION", "its value: $rip, $cs.base, 1+2*3", about_memory<value_text>},
    {"gva2gpa", "", "ADDRESS", "the guest physical address of a virtual one", about_memory<guest_physical_text>},
    {"tlb", "", "ADDRESS", "where a virtual address leads to, and if nowhere, why", walk_to},
    {"info registers", "", "[-a|CPU]", "the registers of a vCPU, or of all", all_or_one},
    {"info mem", "", "", "what this vCPU's page tables map, in ranges of the same rights", about_pages<ranges_text>},
    {"info tlb", "", "", "the same page by page: virtual and physical address, flags", about_pages<pages_text>},
    {"info mtree", "", "", "what lies where in physical memory", memory_map},
    {"info irqchip", "info pic", "", "the interrupt controllers, and this vCPU's local APIC", interrupt_controllers},
    {"info lapic", "", "[CPU]", "a vCPU's local APIC", local_apic},
    {"info exits", "", "", "this vCPU's last exits", last_exits},
};

constexpr std::string_view blanks = " \t\r\n";

std::string_view without_blanks(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
    return text.substr(0, text.find_last_not_of(blanks) + 1);
}

/// Whether `line` begins with the words of `name`; takes them off. A format may stand right behind them.
bool take_name(std::string_view& line, std::string_view name) {
    auto rest = line;
    while (!name.empty()) {
        const auto word = name.substr(0, name.find(' '));
        name.remove_prefix(std::min(word.size() + 1, name.size()));
        rest = without_blanks(rest);
        if (!rest.starts_with(word)) return false;
        rest.remove_prefix(word.size());
        const bool ends = rest.empty() || rest.front() == '/' || blanks.find(rest.front()) != blanks.npos;
        if (!ends) return false;
    }
    line = without_blanks(rest);
    return true;
}

bool take_command(std::string_view& line, const Command& command) {
    return take_name(line, command.name) || (!command.other_name.empty() && take_name(line, command.other_name));
}

}  // namespace

std::span<const Command> commands() noexcept { return all_commands; }

awaitable<std::optional<std::string>> answer(View& view, std::string line, unsigned cpu) {
    std::string_view words = line;
    const auto* const found =
        std::ranges::find_if(all_commands, [&words](const Command& one) { return take_command(words, one); });
    std::optional<std::string> text;
    if (found == std::end(all_commands)) co_return text;
    auto request = std::make_shared<const Request>(Request{view, cpu, std::string(words)});
    text = co_await found->answer(std::move(request));
    co_return text;
}

}  // namespace asyncvm::monitor
