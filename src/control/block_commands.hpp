/// What the commands of the control socket do with a machine's disks.
#pragma once

#include "control/command_group.hpp"

#include <asyncvm/drive.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::control {

struct Disk {
    std::string label;  ///< "disk0"
    std::shared_ptr<Drive> drive;
};

/// Of an event: BLOCK_IO_ERROR. `data` is an object.
using TellOfDisks = std::function<void(std::string_view name, const Json& data)>;

/// Of two errors of one disk within `quiet` the second is told when that time has passed, and only the last one of several;
/// as QEMU does it from version 10.0 on.
[[nodiscard]] std::shared_ptr<CommandGroup> make_block_commands(std::vector<Disk> disks, asio::io_context& loop,
                                                                TellOfDisks tell,
                                                                std::chrono::milliseconds quiet = std::chrono::seconds(1));

}  // namespace asyncvm::control
