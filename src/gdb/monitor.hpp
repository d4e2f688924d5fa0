/// gdb's command `monitor`: words for a person, and a text as the answer.
#pragma once

#include <asyncvm/asio.hpp>

#include <functional>
#include <string>

#include "gdb/debuggee.hpp"

namespace asyncvm::gdb {

/// `cpu` is the one that gdb talks of. Everything stands. `kill` ends the program.
[[nodiscard]] awaitable<std::string> monitor(Debuggee& machine, unsigned cpu, const std::string& typed,
                                             std::function<void()> kill);

/// A vCPU in a line: "real mode, 1000:0034".
[[nodiscard]] std::string where(const Registers& registers);

}  // namespace asyncvm::gdb
