/// The formats of guests' files: which one a file has, and the planner of each. Pure.
#pragma once

#include <asyncvm/boot.hpp>

#include "boot/plan.hpp"

namespace asyncvm::boot {

/// What a file is, by its bytes: flat where nothing else fits. Throws Error(guest_image) for a file that can't be a guest,
/// with what to do instead.
[[nodiscard]] BootFormat detect(const Image& image);

/// Each throws Error(guest_image) that names the field and its value, the missing memory, or what overlaps.
[[nodiscard]] Plan plan_flat(const Request& request, const Surroundings& surroundings);
[[nodiscard]] Plan plan_elf(const Request& request, const Surroundings& surroundings);
[[nodiscard]] Plan plan_pvh(const Request& request, const Surroundings& surroundings);
[[nodiscard]] Plan plan_multiboot(const Request& request, const Surroundings& surroundings);
[[nodiscard]] Plan plan_multiboot2(const Request& request, const Surroundings& surroundings);
[[nodiscard]] Plan plan_boot_sector(const Request& request, const Surroundings& surroundings);
/// Without the board's tables: firmware makes its own.
[[nodiscard]] Plan plan_firmware(const Request& request);
[[nodiscard]] Plan plan_bzimage(const Request& request, const Surroundings& surroundings);

[[nodiscard]] Plan plan_guest(BootFormat format, const Request& request, const Surroundings& surroundings);

}  // namespace asyncvm::boot
