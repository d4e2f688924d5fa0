#include <asyncvm/block.hpp>
#include <asyncvm/error.hpp>

#include "block/file.hpp"
#include "block/file_backend.hpp"
#include "block/nbd.hpp"
#include "block/open_disk.hpp"
#include "block/snapshot.hpp"

#include <utility>

namespace asyncvm {

namespace {

std::shared_ptr<BlockBackend> snapshot_of(std::shared_ptr<BlockBackend> disk, asio::io_context& loop, Log log) {
    auto over = block::temporary_file(disk->properties().size);
    return std::make_shared<block::SnapshotBackend>(
        std::move(disk), std::make_shared<block::FileBackend>(std::move(over), loop, std::move(log)));
}

}  // namespace

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
    return spec.snapshot ? snapshot_of(std::move(disk), loop, std::move(log)) : disk;
}

awaitable<std::shared_ptr<BlockBackend>> block::open_disk_on_loop(DiskSpec spec, asio::io_context& loop, Log log) {
    if (spec.kind != DiskSpec::Kind::nbd) co_return open_disk(spec, loop, std::move(log));
    auto disk = co_await open_nbd_on_loop(spec, loop, log);
    if (spec.snapshot) disk = snapshot_of(std::move(disk), loop, std::move(log));
    co_return disk;
}

}  // namespace asyncvm
