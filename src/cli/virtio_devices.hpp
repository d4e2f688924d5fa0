/// The virtio devices that the options ask for.
#pragma once

#include "cli/options.hpp"
#include "cli/wiring.hpp"

#include <asyncvm/virtio.hpp>

#include <memory>
#include <vector>

namespace asyncvm::cli {

/// How many make_virtio_devices() makes.
[[nodiscard]] unsigned count_virtio_devices(const Options& options);

/// In the order of their slots (virtio_place() in <asyncvm/board.hpp>), which is also the order in which a driver finds
/// them. Throws Error(usage), and what `wiring` throws. In a dry run (no Wiring::boot) nothing is opened.
[[nodiscard]] std::vector<std::shared_ptr<virtio::Device>> make_virtio_devices(const Options& options, const Wiring& wiring);

}  // namespace asyncvm::cli
