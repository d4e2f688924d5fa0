/// The processor modes that a flat guest can start in.
#pragma once

#include <cstdint>

namespace asyncvm {

enum class Mode : std::uint8_t {
    real16,       ///< --mode 16: as after a reset, but at the entry
    protected32,  ///< --mode 32: flat 4 GiB segments, no paging
    long64,       ///< --mode 64: the first 4 GiB mapped one to one
};

}  // namespace asyncvm
