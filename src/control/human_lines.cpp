// The lines of human-monitor-command.
#include "control/machine_commands.hpp"
#include "monitor/commands.hpp"
#include "monitor/expression.hpp"
#include "monitor/human_error.hpp"

#include <asyncvm/registers.hpp>

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace asyncvm::control {

namespace {

using monitor::HumanError;

/// Lines end as QEMU's do.
std::string with_both_ends(std::string_view text) {
    std::string all;
    all.reserve(text.size() + text.size() / 16);
    for (const char letter : text) {
        if (letter == '\n') all += '\r';
        all += letter;
    }
    return all;
}

std::string looks_help() {
    std::string text;
    for (const monitor::Command& one : monitor::commands()) {
        const auto name = one.other_name.empty() ? std::string(one.name) : fmt::format("{}|{}", one.name, one.other_name);
        text += fmt::format("{} {} -- {}\r\n", name, one.parameters, one.what);
    }
    return text;
}

/// As in QEMU the choice ends with the line: of the next one it is cpu-index. Shells that keep it ask whether there is one.
std::string chosen(std::string_view words, unsigned cpus) {
    const std::uint64_t index = monitor::evaluate(words, Registers());
    return index < cpus ? "" : "invalid CPU index\n";
}

}  // namespace

awaitable<std::string> MachineCommands::human_info(std::string_view what, std::uint64_t cpu) {
    if (what == "status") co_return fmt::format("VM status: {}\r\n", status());
    if (what == "version") co_return ASYNCVM_VERSION "\r\n";
    if (what == "report") {
        auto report = co_await subject_.machine.report(static_cast<unsigned>(cpu));
        co_return report;
    }
    if (what == "stats") {
        co_return subject_.statistics ? subject_.statistics_text() : "not counted: start asyncvm with --stats\r\n";
    }
    std::string text;
    if (what == "cpus") {
        const Json all = co_await query_cpus();
        for (const auto& one : all) {
            const auto index = one["cpu-index"].get<std::uint64_t>();
            text += fmt::format("{} CPU #{}: thread_id={}\r\n", index == cpu ? '*' : ' ', index,
                                one["thread-id"].get<std::int64_t>());
        }
    } else if (what == "devices") {
        for (const auto& one : query_devices()) {
            const auto first = one["address"].get<std::uint64_t>();
            text += fmt::format("{} {:#x}-{:#x} {}\r\n", one["space"].get<std::string>(), first,
                                first + one["size"].get<std::uint64_t>() - 1, one["device"].get<std::string>());
        }
    } else {
        text = fmt::format("unknown command: 'info {}'\r\n", what);
    }
    co_return text;
}

std::string MachineCommands::human_help() const {
    std::string text = "info status|version|cpus|report|devices|stats, stop, cont, system_reset, nmi, ";
    for (const auto& group : subject_.groups) text += fmt::format("{}, ", group->human_help());
    return text + "dump-guest-memory [-p] FILE, cpu N, quit, help\r\n" + looks_help();
}

awaitable<void> MachineCommands::human_dump(std::string_view words) {
    constexpr std::string_view paging = "-p ";
    const bool pages = words.starts_with(paging);
    if (pages) words.remove_prefix(paging.size());
    const Json arguments{{"paging", pages}, {"protocol", fmt::format("file:{}", words)}};
    co_await MemoryDump::carry_out(dump_, arguments);
}

/// What gdb's `monitor` answers, too, and the choice of a vCPU.
awaitable<std::optional<std::string>> MachineCommands::human_look(std::string line, unsigned cpu) {
    constexpr std::string_view choose = "cpu";
    std::optional<std::string> text;
    try {
        if (line == choose || line.starts_with("cpu ")) {
            text = chosen(std::string_view(line).substr(choose.size()), subject_.machine.cpus());
        } else {
            text = co_await monitor::answer(view_, line, cpu);
        }
    } catch (const HumanError& error) {
        text = fmt::format("{}\nTry \"help\" for more information\n", error.what());
    }
    if (text) text = with_both_ends(*text);
    co_return text;
}

awaitable<std::string> MachineCommands::human(std::string_view line, std::uint64_t cpu) {
    constexpr std::string_view info = "info ";
    constexpr std::string_view dump = "dump-guest-memory ";
    if (cpu >= subject_.machine.cpus()) throw CommandError("Parameter 'cpu-index' expects a CPU number");
    for (const auto& group : subject_.groups) {
        auto text = co_await group->human(line);
        if (text) co_return *std::move(text);
    }
    auto told = co_await human_look(std::string(line), static_cast<unsigned>(cpu));
    if (told) co_return *std::move(told);
    if (line.starts_with(info)) {
        auto text = co_await human_info(line.substr(info.size()), cpu);
        co_return text;
    }
    if (line == "help" || line == "?") co_return human_help();
    if (line == "stop") {
        co_await stop();
    } else if (line == "cont" || line == "c") {
        co_await cont();
    } else if (line == "system_reset") {
        co_await reset();
    } else if (line.starts_with(dump)) {
        co_await human_dump(line.substr(dump.size()));
    } else if (line == "nmi") {
        co_await inject_nmi();
    } else if (line == "quit" || line == "q") {
        quit();
    } else {
        co_return fmt::format("unknown command: '{}'\r\n", line);
    }
    co_return std::string();
}

}  // namespace asyncvm::control
