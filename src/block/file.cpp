#include "block/file.hpp"

#include "block/file_lock.hpp"
#include "block/image_error.hpp"
#include "block/image_format.hpp"
#include "text/errno_text.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <span>
#include <string_view>

namespace asyncvm::block {

namespace {

[[noreturn]] void refuse_disk(const std::string& name, const std::string& why, std::string_view hint = {}) {
    throw ImageError(name, why, hint);
}

[[noreturn]] void refuse_writes(const std::string& name, const std::string& why) {
    refuse_disk(name, why, "add ,ro if the guest only reads, or ,snapshot to keep its writes elsewhere");
}

UniqueFd open_descriptor(const DiskSpec& spec) {
    const bool writes = !spec.read_only && !spec.snapshot;
    int fd = -1;
    do {
        fd = ::open(spec.source.c_str(),
                    (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (spec.direct ? O_DIRECT : 0));
    } while (fd < 0 && errno == EINTR);
    if (fd >= 0) return UniqueFd(fd);
    if (errno == EINVAL && spec.direct) {
        refuse_disk(spec.source, "this file system can't go past the page cache", "drop cache=none");
    }
    if ((errno == EACCES || errno == EROFS || errno == EPERM) && writes) refuse_writes(spec.source, reason(errno));
    refuse_disk(spec.source, reason(errno));
}

}  // namespace

void measure_device(DiskFile& file) {
    std::uint64_t bytes = 0;
    int block_size = 0;
    int is_read_only = 0;
    if (::ioctl(file.fd.get(), BLKGETSIZE64, &bytes) != 0 || ::ioctl(file.fd.get(), BLKSSZGET, &block_size) != 0 ||
        ::ioctl(file.fd.get(), BLKROGET, &is_read_only) != 0) {
        refuse_disk(file.name, reason(errno));
    }
    // Linux lets one open it for writing, and fails each write.
    if (is_read_only != 0 && !file.read_only) refuse_writes(file.name, "the device is read-only");
    file.size = bytes;
    file.block_size = static_cast<std::uint32_t>(block_size);
    file.memory_alignment = file.block_size;
}

namespace {

/// What O_DIRECT wants of memory and offsets; a page where the kernel does not say.
void measure_alignment(DiskFile& file) {
    file.memory_alignment = 4096;
    file.block_size = 4096;
#ifdef STATX_DIOALIGN
    struct statx status {};
    if (::statx(file.fd.get(), "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 && (status.stx_mask & STATX_DIOALIGN) != 0 &&
        status.stx_dio_offset_align != 0) {
        file.memory_alignment = status.stx_dio_mem_align;
        file.block_size = std::max<std::uint32_t>(status.stx_dio_offset_align, 512);
        return;
    }
#endif
    // The kernel's headers are older than the question: a read tells.
    alignas(4096) std::array<std::byte, 4096> page{};
    if (::pread(file.fd.get(), page.data(), 512, 0) == 512) file.block_size = 512;
}

void measure_file(DiskFile& file, std::uint64_t size) {
    file.size = size;
    if (file.direct) measure_alignment(file);
    if (size % file.block_size == 0) return;
    refuse_disk(file.name, fmt::format("it has {} bytes, and a disk has blocks of {} (truncate -s %{} FILE adds zeros)",
                                       size, file.block_size, file.block_size));
}

}  // namespace

DiskFile open_file(const DiskSpec& spec) {
    DiskFile file;
    file.name = spec.source;
    file.fd = open_descriptor(spec);
    file.read_only = spec.read_only || spec.snapshot;
    file.direct = spec.direct;
    struct stat status {};
    if (::fstat(file.fd.get(), &status) != 0) refuse_disk(file.name, reason(errno));
    if (S_ISBLK(status.st_mode)) {
        file.device = true;
        measure_device(file);
    } else if (S_ISREG(status.st_mode)) {
        measure_file(file, static_cast<std::uint64_t>(status.st_size));
    } else {
        refuse_disk(file.name, S_ISDIR(status.st_mode) ? "it is a directory, and a disk is a file or a block device"
                                                       : "it is neither a file nor a block device");
    }
    if (file.size == 0) refuse_disk(file.name, "it is empty (truncate -s 1G FILE makes a disk of 1 GiB)");
    if (const auto user = lock_disk(file.fd.get(), !file.read_only); !user.empty()) {
        refuse_disk(file.name, fmt::format("it is in use: {}", user), "stop it, or add ,snapshot to both");
    }
    if (const auto format = foreign_format(file.fd.get()); !format.empty()) {
        refuse_disk(file.name,
                    fmt::format("it is a {} image, and a disk is raw here (qemu-nbd -t -k /tmp/disk.sock {}, then --disk "
                                "nbd:unix:/tmp/disk.sock; or qemu-img convert -O raw)",
                                format, file.name));
    }
    return file;
}

DiskFile temporary_file(std::uint64_t size) {
    const char* const chosen = std::getenv("TMPDIR");
    const std::string folder = chosen != nullptr && *chosen != '\0' ? chosen : "/var/tmp";
    DiskFile file;
    file.name = "snapshot in " + folder;
    file.size = size;
    file.fd = UniqueFd(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!file.fd.valid()) {
        std::string name = folder + "/asyncvm-snapshot-XXXXXX";
        file.fd = UniqueFd(::mkostemp(name.data(), O_CLOEXEC));
        if (file.fd.valid()) ::unlink(name.c_str());
    }
    if (!file.fd.valid() || ::ftruncate(file.fd.get(), static_cast<off_t>(size)) != 0) {
        throw Error(ErrorKind::host, fmt::format("cannot make a temporary file for ,snapshot in {}: {} (TMPDIR says where)",
                                                 folder, reason(errno)));
    }
    return file;
}

}  // namespace asyncvm::block
