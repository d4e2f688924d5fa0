#include <asyncvm/block.hpp>
#include <asyncvm/error.hpp>

#include "block/file.hpp"
#include "block/file_backend.hpp"
#include "block/nbd.hpp"
#include "block/snapshot.hpp"

#include <utility>

namespace asyncvm {

std::shared_ptr<BlockBackend> open_disk(const DiskSpec& spec, asio::io_context& loop, Log log) {
    std::shared_ptr<BlockBackend> disk;
    if (spec.kind == DiskSpec::Kind::vhost_user) {
        throw Error(ErrorKind::usage, "a vhost-user disk has no back end in this process");
    }
    if (spec.kind == DiskSpec::Kind::nbd) {
        disk = block::open_nbd(spec, loop, log);
    } else {
        disk = std::make_shared<block::FileBackend>(block::open_file(spec), loop, log);
    }
    if (!spec.snapshot) return disk;
    auto over = block::temporary_file(disk->properties().size);
    return std::make_shared<block::SnapshotBackend>(
        std::move(disk), std::make_shared<block::FileBackend>(std::move(over), loop, std::move(log)));
}

}  // namespace asyncvm
