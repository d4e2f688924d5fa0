/// Whether a chardev has so much room that writes to it may be posted.
#pragma once

#include <asyncvm/chardev.hpp>

#include <cstdint>

namespace asyncvm {

/// A posted write that has to wait for room keeps all vCPUs waiting, so that writes are no longer posted long before the
/// queue is full: from the decision until KVM collects no more a vCPU can post some tens of KiB (a counter's line is 31
/// times as long as the write).
[[nodiscard]] inline bool room_to_post(const Chardev& chardev) noexcept {
    constexpr std::uint64_t enough = 256 << 10;
    return chardev.room() >= enough;
}

}  // namespace asyncvm
