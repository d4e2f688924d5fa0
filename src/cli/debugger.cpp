#include "cli/debugger.hpp"

#include "cli/console.hpp"
#include "probe/feature.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <utility>

namespace asyncvm::cli {

namespace {

DebuggerStop described(const std::optional<gdb::Stop>& stop) {
    if (!stop) return {.why = "asked for"};
    DebuggerStop result{.why = {}, .cpu = stop->cpu, .address = stop->address};
    switch (stop->why) {
        case gdb::Stop::Why::asked:
            result.why = "asked for";
            break;
        case gdb::Stop::Why::step:
            result.why = "step";
            break;
        case gdb::Stop::Why::breakpoint:
            result.why = "breakpoint";
            break;
        case gdb::Stop::Why::hardware_breakpoint:
            result.why = "hardware breakpoint";
            break;
        case gdb::Stop::Why::watchpoint:
            result.why = "watchpoint";
            break;
        case gdb::Stop::Why::crash:
            result.why = "crash";
            break;
    }
    return result;
}

}  // namespace

std::shared_ptr<gdb::Server> make_gdb_server(const Options& options, const Streams& streams,
                                             DebuggerSurroundings surroundings) {
    if (options.gdb->kind == gdb::Spec::Kind::stdio) {
        for (const auto& stream : streams.all()) {
            if (!stream.standard) continue;
            throw Error(ErrorKind::usage,
                        fmt::format("--gdb stdio: the standard streams are {}'s already (send that "
                                    "elsewhere: --serial null, --debugcon null, --device NAME,chardev=null)",
                                    stream.label));
        }
    }
    gdb::Spec spec = *options.gdb;
    if (!spec.width && surroundings.elf64) spec.width = gdb::Width::long64;
    return std::make_shared<gdb::Server>(std::move(spec),
                                         gdb::Server::Surroundings{.loop = surroundings.loop,
                                                                   .machine = surroundings.machine,
                                                                   .on_crash = options.on_crash,
                                                                   .log = make_log(),
                                                                   .monitor = std::move(surroundings.monitor),
                                                                   .watch = std::move(surroundings.watch)});
}

gdb::DebuggerWatch watch_for(control::Steering* steering, std::shared_ptr<Observer> observer) {
    // Without somebody who hears of it each step is faster.
    if (steering == nullptr && !observer) return {};
    return {.stopped =
                [steering, observer](const std::optional<gdb::Stop>& stop) {
                    if (steering != nullptr) steering->debugger_stopped(stop.has_value());
                    if (observer) observer->debugger_stopped(described(stop));
                },
            .goes_on =
                [steering, observer] {
                    if (steering != nullptr) steering->debugger_goes_on();
                    if (observer) observer->debugger_goes_on();
                }};
}

gdb::DebugFeatures debug_features(std::string_view accelerator) {
    if (accelerator != "kvm") return {.steps = true, .debug_registers = true, .int3 = true};
    const auto works = [](std::string_view name) { return probe::try_feature(*probe::find_feature(name)).works; };
    return {.steps = works("single-step"),
            .debug_registers = works("hardware-breakpoint"),
            .watchpoints = works("watchpoint"),
            .int3 = works("software-breakpoint"),
            .trap_flag = true};
}

}  // namespace asyncvm::cli
