/// The file behind a disk: opened, locked and measured.
#pragma once

#include "os/unique_fd.hpp"

#include <asyncvm/block.hpp>

#include <cstdint>
#include <string>

namespace asyncvm::block {

struct DiskFile {
    UniqueFd fd;
    std::string name;
    std::uint64_t size = 0;
    bool read_only = false;
    std::uint32_t block_size = 512;
    bool device = false;  ///< a block device
    bool direct = false;  ///< O_DIRECT: memory, offsets and sizes must be aligned
    std::uint32_t memory_alignment = 1;
};

/// A regular file or a block device. Throws Error(host) for what is neither, can't be opened, is in use, is empty, has a
/// size that is no multiple of 512, or holds an image of another format.
[[nodiscard]] DiskFile open_file(const DiskSpec& spec);

/// Size and block size of a block device, as they are now. Throws Error(host).
void measure_device(DiskFile& file);

/// An empty file of `size` bytes without a name, in $TMPDIR or /var/tmp. Throws Error(host).
[[nodiscard]] DiskFile temporary_file(std::uint64_t size);

}  // namespace asyncvm::block
