#include "cli/debugger.hpp"

#include "cli/console.hpp"
#include "probe/feature.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <utility>

namespace asyncvm::cli {

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

gdb::DebuggerWatch watch_for(control::Steering* steering) {
    if (steering == nullptr) return {};
    return {.stopped = [steering](bool at_event) { steering->debugger_stopped(at_event); },
            .goes_on = [steering] { steering->debugger_goes_on(); }};
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
