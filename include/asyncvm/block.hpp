/// What is behind a disk: a raw image, a block device, an NBD server.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/error.hpp>
#include <asyncvm/event.hpp>
#include <asyncvm/log.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace asyncvm {

/// The bytes of a transfer, in the order that they have on the disk: pieces of guest memory.
using ReadSpans = std::span<const std::span<std::byte>>;
using WriteSpans = std::span<const std::span<const std::byte>>;

struct BlockProperties {
    std::uint64_t size = 0;          ///< bytes, a multiple of block_size
    bool read_only = false;          ///< writes give EROFS
    std::uint32_t block_size = 512;  ///< logical: offsets and sizes that are no multiples of it may be refused with EINVAL
    std::string description;         ///< for -v: "disk.img, 64 MiB, by io_uring"
};

/// Reads and writes for one device, on the device loop. Any number may be under way, in any order. An error comes back as a
/// std::error_code of the generic category and is logged once for each kind: EINVAL outside of the disk, EROFS, ENOSPC,
/// EIO for all that the guest can do nothing about.
///
/// Spans and the backend must live until the coroutine has ended. A cancelled request ends when nothing touches its memory
/// any more, and a destroyed one waits for that. Requests whose coroutines run on, run to their end.
class BlockBackend {
public:
    BlockBackend() = default;
    BlockBackend(const BlockBackend&) = delete;
    BlockBackend& operator=(const BlockBackend&) = delete;
    virtual ~BlockBackend() = default;

    [[nodiscard]] virtual const BlockProperties& properties() const noexcept = 0;

    [[nodiscard]] virtual awaitable<std::error_code> read(std::uint64_t offset, ReadSpans to) = 0;
    [[nodiscard]] virtual awaitable<std::error_code> write(std::uint64_t offset, WriteSpans from) = 0;

    /// What was written before is stable: it outlives this process, and the host's power.
    [[nodiscard]] virtual awaitable<std::error_code> flush() = 0;

    /// The guest has no use for these bytes any more: they may read as anything afterwards. A backend that can't give their
    /// place back does nothing.
    [[nodiscard]] virtual awaitable<std::error_code> discard(std::uint64_t offset, std::uint64_t size) = 0;

    /// The bytes read as zeros afterwards. `may_unmap`: their place may be given back.
    [[nodiscard]] virtual awaitable<std::error_code> write_zeroes(std::uint64_t offset, std::uint64_t size,
                                                                  bool may_unmap) = 0;

    /// Makes the disk `size` bytes large, a multiple of its block_size and not 0; bytes that are new read as zeros. Where
    /// somebody else decides how large it is, as of a block device, the size that it has now is taken over, if it is `size`
    /// at least. No request is under way. Throws Error(host), and nothing has changed.
    [[nodiscard]] virtual awaitable<void> resize([[maybe_unused]] std::uint64_t size) {
        throw Error(ErrorKind::host, "its size can't be changed");
    }

    /// The bytes that it takes on the host. Nothing: unknown.
    [[nodiscard]] virtual std::optional<std::uint64_t> allocated() const { return std::nullopt; }

    /// Notified when properties().size has become another one, or all that is on the disk. Null: neither ever happens.
    [[nodiscard]] virtual Event* changed() noexcept { return nullptr; }
};

/// What --disk says.
struct DiskSpec {
    enum class Kind : std::uint8_t {
        file,
        nbd,
        vhost_user,  ///< another process serves the whole device: connect_vhost_user() in place of open_disk()
    };

    Kind kind = Kind::file;
    std::string source;      ///< a file's path, an NBD URI, or the path of a back end's socket
    bool read_only = false;  ///< the guest can't write
    bool snapshot = false;   ///< what the guest writes goes to a temporary file, and is gone at the end
    bool direct = false;     ///< past the host's page cache (O_DIRECT)
    std::string serial;      ///< 20 characters at most
    unsigned queues = 0;     ///< vhost_user: how many; 0: nobody has said
};

/// The longest serial number that a guest can read, in bytes.
inline constexpr std::size_t longest_disk_serial = 20;

/// `FILE[,ro][,snapshot][,serial=ID][,cache=writeback|none]`, where FILE may be `nbd:unix:PATH` or an NBD URI, or
/// `vhost-user:PATH[,queues=N]`; a doubled comma is a comma of the name. Pure. Throws Error(usage) that names the option.
[[nodiscard]] DiskSpec parse_disk_spec(std::string_view text);

/// `spec` with another image: `source` is FILE as above, but a comma is a comma. Pure. Throws Error(usage) that begins with
/// the source; also for vhost-user, and for an NBD server where `spec` has `direct`.
[[nodiscard]] DiskSpec with_source(DiskSpec spec, std::string_view source);

/// Opens the image and locks it, as QEMU does, against a second writer. `loop` is the device loop. Throws Error(host) for
/// what can't be opened, is in use, or is no raw image; it says what to do. Error(usage) for DiskSpec::Kind::vhost_user.
[[nodiscard]] std::shared_ptr<BlockBackend> open_disk(const DiskSpec& spec, asio::io_context& loop, Log log);

}  // namespace asyncvm
