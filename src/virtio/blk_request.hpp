/// What a driver asks a block device for (virtio 1.2, 5.2.6), taken apart and checked. Pure.
#pragma once

#include <asyncvm/virtio_chain.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace asyncvm::virtio {

inline constexpr std::uint64_t blk_sector = 512;

/// The last byte of a request.
enum class BlkStatus : std::uint8_t { ok = 0, io_error = 1, unsupported = 2 };

struct BlkRequest {
    enum class Kind : std::uint32_t { read = 0, write = 1, flush = 4, get_id = 8, discard = 11, write_zeroes = 13 };

    Kind kind{};  ///< perhaps none of the names
    std::uint64_t sector = 0;
};

/// Of a discard or a write of zeros.
struct BlkRange {
    std::uint64_t offset;  ///< bytes
    std::uint64_t size;
    bool unmap;
};

/// What a device allows.
struct BlkLimits {
    std::uint64_t size;                    ///< of the disk, bytes
    std::uint32_t most_sectors = 1 << 22;  ///< of a range
    std::uint32_t most_ranges = 32;
};

/// The request's first 16 bytes. Nothing, if it has no such bytes or no room for a status.
[[nodiscard]] std::optional<BlkRequest> read_header(const Chain& chain) noexcept;

/// The buffers of the data: without the header, without the status.
[[nodiscard]] std::vector<std::span<const std::byte>> data_to_write(const Chain& chain);
[[nodiscard]] std::vector<std::span<std::byte>> data_to_read(const Chain& chain);

/// Whether a transfer of so many bytes is whole sectors inside of the disk.
[[nodiscard]] bool is_on_disk(std::uint64_t sector, std::uint64_t bytes, std::uint64_t disk_size) noexcept;

/// The ranges of a discard or of a write of zeros. What is wrong with them is in `status`, and there are none then.
[[nodiscard]] std::vector<BlkRange> read_ranges(const Chain& chain, BlkRequest::Kind kind, const BlkLimits& limits,
                                                BlkStatus& status);

}  // namespace asyncvm::virtio
