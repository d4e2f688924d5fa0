#include "x86/segment_descriptor.hpp"

namespace asyncvm {

namespace {

constexpr std::uint64_t bit(bool value, unsigned position) noexcept { return std::uint64_t{value} << position; }

constexpr bool test(std::uint64_t value, unsigned position) noexcept { return (value >> position & 1) != 0; }

}  // namespace

std::uint64_t encode_descriptor(const Segment& segment) noexcept {
    const bool pages = segment.granularity_4k || segment.limit > 0xf'ffff;
    const std::uint64_t limit = pages ? segment.limit >> 12 : segment.limit;
    return (limit & 0xffff) | (segment.base & 0xff'ffff) << 16 | std::uint64_t{segment.type & 0xfu} << 40 |
           bit(segment.code_or_data, 44) | std::uint64_t{segment.dpl & 3u} << 45 | bit(segment.present, 47) |
           (limit >> 16 & 0xf) << 48 | bit(segment.available, 52) | bit(segment.long_mode, 53) |
           bit(segment.default_32, 54) | bit(pages, 55) | (segment.base >> 24 & 0xff) << 56;
}

Segment decode_descriptor(std::uint64_t descriptor, std::uint16_t selector) noexcept {
    Segment segment;
    segment.selector = selector;
    segment.base = (descriptor >> 16 & 0xff'ffff) | (descriptor >> 56) << 24;
    segment.type = descriptor >> 40 & 0xf;
    segment.code_or_data = test(descriptor, 44);
    segment.dpl = descriptor >> 45 & 3;
    segment.present = test(descriptor, 47);
    segment.available = test(descriptor, 52);
    segment.long_mode = test(descriptor, 53);
    segment.default_32 = test(descriptor, 54);
    segment.granularity_4k = test(descriptor, 55);
    segment.limit = static_cast<std::uint32_t>((descriptor & 0xffff) | (descriptor >> 48 & 0xf) << 16);
    if (segment.granularity_4k) segment.limit = segment.limit << 12 | 0xfff;
    return segment;
}

}  // namespace asyncvm
