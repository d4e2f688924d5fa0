/// gdb's command `monitor`: words for a person, and a text as the answer.
#pragma once

#include <asyncvm/asio.hpp>

#include <functional>
#include <string>

#include "gdb/debuggee.hpp"

namespace asyncvm::gdb {

/// What `monitor` needs of the program.
struct MonitorSurroundings {
    std::function<void()> kill;                 ///< ends the program
    std::function<std::string()> statistics{};  ///< as --stats prints it; null: they are not counted
};

/// `cpu` is the one that gdb talks of. Everything stands.
[[nodiscard]] awaitable<std::string> monitor(Debuggee& machine, unsigned cpu, const std::string& typed,
                                             const MonitorSurroundings& surroundings);

/// A vCPU in a line: "real mode, 1000:0034".
[[nodiscard]] std::string where(const Registers& registers);

}  // namespace asyncvm::gdb
