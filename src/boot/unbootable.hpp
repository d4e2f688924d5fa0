/// Files that people give and that can't be guests. Pure.
#pragma once

#include "boot/image.hpp"

namespace asyncvm::boot {

/// Throws Error(guest_image) that says what the file is, and what to do instead, if it is of a format that no guest has: an
/// archive, a disk image, a program for another system, text. For files without the header of a kernel.
void refuse_unbootable(const Image& image);

}  // namespace asyncvm::boot
