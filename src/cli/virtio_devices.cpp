#include "cli/virtio_devices.hpp"

#include <asyncvm/block.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace asyncvm::cli {

namespace {

/// What a dry run has in place of a disk: nobody asks it for anything.
class NoDisk final : public BlockBackend {
public:
    [[nodiscard]] const BlockProperties& properties() const noexcept override { return properties_; }
    [[nodiscard]] awaitable<std::error_code> read(std::uint64_t, ReadSpans) override { return refusal(); }
    [[nodiscard]] awaitable<std::error_code> write(std::uint64_t, WriteSpans) override { return refusal(); }
    [[nodiscard]] awaitable<std::error_code> flush() override { return refusal(); }
    [[nodiscard]] awaitable<std::error_code> discard(std::uint64_t, std::uint64_t) override { return refusal(); }
    [[nodiscard]] awaitable<std::error_code> write_zeroes(std::uint64_t, std::uint64_t, bool) override { return refusal(); }

private:
    static awaitable<std::error_code> refusal() { co_return std::make_error_code(std::errc::io_error); }

    BlockProperties properties_;
};

std::shared_ptr<virtio::Device> make_disk(const DiskSpec& spec, const Options& options, const Wiring& wiring) {
    constexpr unsigned most_queues = 8;
    std::shared_ptr<BlockBackend> disk;
    if (wiring.loop == nullptr) {
        disk = std::make_shared<NoDisk>();
    } else {
        disk = open_disk(spec, *wiring.loop, wiring.log);
        if (options.verbose) wiring.log(fmt::format("disk {}", disk->properties().description));
    }
    return virtio::make_blk(std::move(disk), spec.serial, std::min(options.cpus, most_queues));
}

}  // namespace

unsigned count_virtio_devices(const Options& options) {
    auto count = static_cast<unsigned>(virtio_disks(options).size());
    if (options.rng) ++count;
    return count;
}

std::vector<std::shared_ptr<virtio::Device>> make_virtio_devices(const Options& options,
                                                                 [[maybe_unused]] const Wiring& wiring) {
    std::vector<std::shared_ptr<virtio::Device>> devices;
    for (const DiskSpec& disk : virtio_disks(options)) devices.push_back(make_disk(disk, options, wiring));
    if (options.rng) devices.push_back(virtio::make_rng());
    return devices;
}

}  // namespace asyncvm::cli
