/// Guests that are packed with gzip, xz or zstd.
#pragma once

#include <cstdint>
#include <string>

#include "boot/image.hpp"

namespace asyncvm::boot {

struct Unpacked {
    ImagePtr image;
    std::string packing;  ///< "gzip, 1234 bytes"; empty: `image` is the file as it is
};

/// The file, or what is in it if it is packed: all streams in it, one after the other, with zeros between and behind them.
/// Of several layers one is opened. Throws Error(guest_image) that names the file and the place for what is damaged,
/// truncated or unpacks to more than `most` bytes; Error(host) if a library is missing.
[[nodiscard]] Unpacked unpack(ImagePtr image, std::uint64_t most);

}  // namespace asyncvm::boot
