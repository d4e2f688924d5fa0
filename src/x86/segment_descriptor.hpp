/// Segment descriptors as they lie in memory (Intel SDM vol. 3, 3.4.5). Pure.
#pragma once

#include <asyncvm/registers.hpp>

#include <cstdint>

namespace asyncvm {

[[nodiscard]] std::uint64_t encode_descriptor(const Segment& segment) noexcept;

[[nodiscard]] Segment decode_descriptor(std::uint64_t descriptor, std::uint16_t selector) noexcept;

}  // namespace asyncvm
