/// What lies where in a guest's physical memory, in words. Pure.
#pragma once

#include <asyncvm/bus.hpp>
#include <asyncvm/guest_memory.hpp>
#include <asyncvm/interrupt_state.hpp>

#include <optional>
#include <string>
#include <vector>

namespace asyncvm::monitor {

/// Lines by address: memory, devices (what Bus::ranges() says), and where the accelerator has interrupt controllers, those.
[[nodiscard]] std::string memory_map_text(const GuestMemory& memory, const std::vector<AttachedRange>& devices,
                                          const std::optional<InterruptState>& interrupts);

}  // namespace asyncvm::monitor
