#include "gdb/monitor.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "gdb/register_file.hpp"
#include "monitor/commands.hpp"
#include "monitor/human_error.hpp"
#include "monitor/report_parts.hpp"
#include "monitor/view.hpp"
#include "text/parse.hpp"
#include "vmcore/dump.hpp"
#include "x86/bits.hpp"
#include "x86/linear.hpp"

namespace asyncvm::gdb {

namespace {

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

std::string devices_on(const Bus& bus, const char* what) {
    std::string text;
    for (const auto& [range, device] : bus.ranges()) {
        text += fmt::format("{} {:#x}-{:#x}  {}\n", what, range.first, range.first + (range.size - 1), device);
    }
    return text;
}

/// What a person has typed, and where.
struct Request {
    Debuggee& machine;
    unsigned cpu;
    std::vector<std::string> words;  ///< behind the command
    MonitorSurroundings surroundings;

    [[nodiscard]] std::string word(std::size_t i) const { return i < words.size() ? words[i] : ""; }
};
using RequestPtr = std::shared_ptr<const Request>;

awaitable<std::string> answered(std::string text) { co_return text; }

awaitable<std::string> registers_of_report(RequestPtr request) {
    const std::string report = co_await request->machine.machine().report(request->cpu);
    co_return report.empty() ? fmt::format("vCPU {} has not begun\n", request->cpu) : monitor::registers_of(report);
}

awaitable<std::string> report(RequestPtr request) {
    const std::string report = co_await request->machine.machine().report(request->cpu);
    co_return report.empty() ? fmt::format("vCPU {} has not begun\n", request->cpu) : report;
}

awaitable<std::string> cpus(RequestPtr request) {
    std::string text;
    for (unsigned cpu = 0; cpu < request->machine.cpus(); ++cpu) {
        const Registers registers = co_await request->machine.registers(cpu);
        text += fmt::format("vCPU {}: {}\n", cpu, where(registers));
    }
    co_return text;
}

awaitable<std::string> devices(RequestPtr request) {
    Machine& machine = request->machine.machine();
    return answered(devices_on(machine.ports(), "port") + devices_on(machine.mmio(), "memory"));
}

awaitable<std::string> statistics(RequestPtr request) {
    const auto& text = request->surroundings.statistics;
    return answered(text ? text() : "not counted: start asyncvm with --stats\n");
}

awaitable<std::string> msr(RequestPtr request) {
    constexpr std::uint64_t most = 0xffff'ffff;
    const auto index = parse_number(request->word(0));
    if (!index || *index > most) co_return "msr needs a number of at most 32 bits (example: monitor msr 0xc0000082)\n";
    const auto number = static_cast<std::uint32_t>(*index);
    if (request->words.size() > 1) {
        const auto value = parse_number(request->word(1));
        if (!value) co_return fmt::format("'{}' is no number\n", request->word(1));
        const bool taken = co_await request->machine.set_msr(request->cpu, number, *value);
        if (!taken) co_return fmt::format("MSR {:#x} does not take {:#x}\n", number, *value);
    }
    const auto value = co_await request->machine.msr(request->cpu, number);
    if (!value)
        co_return fmt::format("vCPU {} has no MSR {:#x}, or the accelerator does not show it\n", request->cpu, number);
    co_return fmt::format("MSR {:#x} is {:#x}\n", number, *value);
}

awaitable<std::string> phys(RequestPtr request) {
    Debuggee& machine = request->machine;
    const std::string how = request->word(0);
    if (how == "on" || how == "off") {
        machine.set_physical(how == "on");
    } else if (!how.empty()) {
        return answered("phys is on or off\n");
    }
    return answered(
        fmt::format("gdb reads and writes {} addresses\n", machine.physical() ? "physical" : "the guest's linear"));
}

awaitable<std::string> reset(RequestPtr request) {
    std::string problem;
    try {
        co_await request->machine.reset();
    } catch (const Error& error) {
        problem = error.what();
    }
    co_return problem.empty() ? "the guest is at its start\n" : fmt::format("no reset: {}\n", problem);
}

/// A name with spaces needs another way.
awaitable<std::string> core(RequestPtr request) {
    vmcore::Request wanted;
    wanted.path = request->word(0);
    wanted.cpu = request->cpu;
    if (wanted.path.empty()) co_return "core needs the name of a file (example: monitor core /tmp/guest.core)\n";
    if (const auto stop = request->machine.stop(); stop && stop->why == Stop::Why::crash && stop->cpu == wanted.cpu) {
        wanted.signal = stop->signal;
    }
    std::string text;
    try {
        const std::function<void(vmcore::Progress)> nobody;
        const vmcore::Dumped dumped = co_await vmcore::dump(request->machine.machine(), std::move(wanted), nobody);
        text = fmt::format("{} has {} MiB of memory\n", request->word(0), dumped.total >> 20);
    } catch (const Error& error) {
        text = fmt::format("{}\n", error.what());
    }
    co_return text;
}

awaitable<std::string> quit(RequestPtr request) {
    request->surroundings.kill();
    return answered("asyncvm ends\n");
}

awaitable<std::string> help(RequestPtr request);

struct MonitorCommand {
    std::string_view name;
    std::string_view parameters;
    std::string_view what;
    awaitable<std::string> (*answer)(RequestPtr);
};

constexpr MonitorCommand commands[] = {
    {"help", "", "this text", help},
    {"info regs", "", "the registers of this thread's vCPU, as in a report", registers_of_report},
    {"info report", "", "all that a report has", report},
    {"info cpus", "", "where each vCPU is", cpus},
    {"info devices", "", "which device is at which ports and addresses", devices},
    {"info stats", "", "exits and times until now, with --stats", statistics},
    {"msr", "INDEX [VALUE]", "reads or writes a model-specific register of this thread's vCPU", msr},
    {"phys", "on|off", "whether gdb reads and writes physical addresses", phys},
    {"core", "FILE", "writes a core file, with the memory that this thread's vCPU maps", core},
    {"reset", "", "the guest starts anew, and stands (then: maintenance flush register-cache)", reset},
    {"quit", "", "ends asyncvm", quit},
};

std::string help_text() {
    std::string text;
    const auto add = [&text](std::string name, std::string_view parameters, std::string_view what) {
        if (!parameters.empty()) name += fmt::format(" {}", parameters);
        text += fmt::format("{:<25} {}\n", name, what);
    };
    for (const MonitorCommand& command : commands) add(std::string(command.name), command.parameters, command.what);
    for (const monitor::Command& command : monitor::commands()) {
        const bool two = !command.other_name.empty();
        add(two ? fmt::format("{}|{}", command.name, command.other_name) : std::string(command.name), command.parameters,
            command.what);
    }
    return text;
}

awaitable<std::string> help(RequestPtr) { return answered(help_text()); }

/// With what gdb has changed in registers, also before the vCPU has it.
class DebuggeeView final : public monitor::View {
public:
    explicit DebuggeeView(Debuggee& machine) noexcept : View(machine.machine()), debuggee_(machine) {}

    [[nodiscard]] awaitable<Registers> registers(unsigned cpu) override { return debuggee_.registers(cpu); }
    [[nodiscard]] awaitable<std::optional<InterruptState>> interrupts(unsigned cpu) override {
        return debuggee_.interrupts(cpu);
    }

private:
    Debuggee& debuggee_;
};

/// What is not only gdb's.
awaitable<std::string> common_answer(Debuggee& machine, unsigned cpu, std::string typed) {
    DebuggeeView view(machine);
    std::optional<std::string> text;
    try {
        text = co_await monitor::answer(view, typed, cpu);
    } catch (const monitor::HumanError& error) {
        text = fmt::format("{}\nTry \"monitor help\" for more information\n", error.what());
    }
    if (!text) text = fmt::format("there is no such command: {}\n{}", typed, help_text());
    co_return *std::move(text);
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

awaitable<std::string> monitor(Debuggee& machine, unsigned cpu, const std::string& typed,
                               const MonitorSurroundings& surroundings) {
    auto words = words_of(typed);
    if (words.empty()) words.emplace_back("help");
    const std::size_t used = words[0] == "info" && words.size() > 1 ? 2 : 1;
    const std::string name = used == 2 ? "info " + words[1] : words[0];
    const auto* const found = std::ranges::find(commands, name, &MonitorCommand::name);
    if (found == std::end(commands)) return common_answer(machine, cpu, typed);
    words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(used));
    return found->answer(std::make_shared<const Request>(Request{machine, cpu, std::move(words), surroundings}));
}

}  // namespace asyncvm::gdb
