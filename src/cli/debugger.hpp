/// The debugger of a session: --gdb.
#pragma once

#include "cli/options.hpp"
#include "cli/streams.hpp"
#include "control/steering.hpp"
#include "gdb/breakpoints.hpp"
#include "gdb/server.hpp"

#include <asyncvm/asio.hpp>
#include <asyncvm/machine.hpp>
#include <asyncvm/observer.hpp>

#include <memory>
#include <string_view>

namespace asyncvm::cli {

struct DebuggerSurroundings {
    asio::io_context& loop;
    Machine& machine;
    gdb::MonitorSurroundings monitor;
    gdb::DebuggerWatch watch{};
    bool elf64 = false;  ///< the guest is an ELF file of 64 bits: gdb, which has read it, takes no other processor
};

/// Listens, after the streams have been opened. Throws Error(usage) where one of them has what the debugger wants, and
/// Error(host).
[[nodiscard]] std::shared_ptr<gdb::Server> make_gdb_server(const Options& options, const Streams& streams,
                                                           DebuggerSurroundings surroundings);

/// So that the control socket and an observer hear what the debugger does; each may be null. `steering` outlives the server.
[[nodiscard]] gdb::DebuggerWatch watch_for(control::Steering* steering, std::shared_ptr<Observer> observer);

/// What the accelerator of that name delivers on this host: tried with small guests, which takes some milliseconds.
[[nodiscard]] gdb::DebugFeatures debug_features(std::string_view accelerator);

}  // namespace asyncvm::cli
