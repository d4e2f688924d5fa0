/// A plan becomes a guest that is ready to start.
#pragma once

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/registers.hpp>

#include "boot/plan.hpp"

namespace asyncvm::boot {

/// Places the pieces, zeros included, writes the boot tables that the entry's mode needs, and returns what CPU 0 starts
/// with. Images are read straight to their places. Twice gives the same, but for memory that is no part of the plan. Throws
/// Error(guest_image) for a piece that is not in the guest's memory or overlaps another one, by their names, before anything
/// is written, and what Image::read() throws.
[[nodiscard]] Registers apply(const Plan& plan, GuestMemory& memory);

}  // namespace asyncvm::boot
