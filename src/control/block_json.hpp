/// Disks as QMP describes them. Device loop.
#pragma once

#include "control/block_commands.hpp"
#include "control/json.hpp"

#include <string>
#include <system_error>
#include <vector>

namespace asyncvm::control {

/// The name of the image that is there: "#disk0".
[[nodiscard]] std::string node_name(const Disk& disk);
/// The device's place in the machine: "/machine/disk[0]". `disk` is one of `disks`.
[[nodiscard]] std::string device_path(const std::vector<Disk>& disks, const Disk& disk);

/// The answer to query-block.
[[nodiscard]] Json describe_disks(const std::vector<Disk>& disks);
/// The answer to query-blockstats.
[[nodiscard]] Json count_disks(const std::vector<Disk>& disks);
/// The data of a BLOCK_IO_ERROR.
[[nodiscard]] Json io_error(const Disk& disk, bool writes, std::error_code error);

}  // namespace asyncvm::control
