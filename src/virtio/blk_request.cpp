#include "virtio/blk_request.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace asyncvm::virtio {

namespace {

constexpr std::size_t header_size = 16;
constexpr std::size_t range_size = 16;
constexpr std::uint32_t flag_unmap = 1;

template <typename T>
T number_at(std::span<const std::byte> bytes, std::size_t at) noexcept {
    T value{};
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

template <typename Byte>
std::vector<std::span<Byte>> part_of(std::span<const std::span<Byte>> buffers, std::uint64_t skipped, std::uint64_t size) {
    std::vector<std::span<Byte>> part;
    part.reserve(buffers.size());
    for (auto buffer : buffers) {
        const auto dropped = std::min<std::uint64_t>(skipped, buffer.size());
        skipped -= dropped;
        buffer = buffer.subspan(dropped);
        buffer = buffer.first(std::min<std::uint64_t>(size, buffer.size()));
        size -= buffer.size();
        if (!buffer.empty()) part.push_back(buffer);
    }
    return part;
}

}  // namespace

std::optional<BlkRequest> read_header(const Chain& chain) noexcept {
    std::array<std::byte, header_size> header{};
    if (chain.read(0, header) != header.size() || chain.writable_size() == 0) return std::nullopt;
    return BlkRequest{static_cast<BlkRequest::Kind>(number_at<std::uint32_t>(header, 0)),
                      number_at<std::uint64_t>(header, 8)};
}

std::vector<std::span<const std::byte>> data_to_write(const Chain& chain) {
    return part_of(chain.readable(), header_size, chain.readable_size() - header_size);
}

std::vector<std::span<std::byte>> data_to_read(const Chain& chain) {
    return part_of(chain.writable(), 0, chain.writable_size() - 1);
}

bool is_on_disk(std::uint64_t sector, std::uint64_t bytes, std::uint64_t disk_size) noexcept {
    const std::uint64_t sectors = disk_size / blk_sector;
    return bytes % blk_sector == 0 && sector <= sectors && bytes / blk_sector <= sectors - sector;
}

std::vector<BlkRange> read_ranges(const Chain& chain, BlkRequest::Kind kind, const BlkLimits& limits, BlkStatus& status) {
    const std::uint64_t bytes = chain.readable_size() - header_size;
    status = BlkStatus::io_error;
    if (bytes == 0 || bytes % range_size != 0 || bytes / range_size > limits.most_ranges) return {};
    std::vector<BlkRange> ranges;
    for (std::uint64_t at = header_size; at < header_size + bytes; at += range_size) {
        std::array<std::byte, range_size> range{};
        chain.read(at, range);
        const auto sector = number_at<std::uint64_t>(range, 0);
        const auto sectors = number_at<std::uint32_t>(range, 8);
        const auto flags = number_at<std::uint32_t>(range, 12);
        if ((flags & ~flag_unmap) != 0 || (kind == BlkRequest::Kind::discard && flags != 0)) {
            status = BlkStatus::unsupported;
            return {};
        }
        if (sectors > limits.most_sectors || !is_on_disk(sector, sectors * blk_sector, limits.size)) return {};
        ranges.push_back({sector * blk_sector, sectors * blk_sector, flags != 0});
    }
    status = BlkStatus::ok;
    return ranges;
}

}  // namespace asyncvm::virtio
