/// The block device (virtio 1.2, 5.2).
#include <asyncvm/block.hpp>
#include <asyncvm/state.hpp>
#include <asyncvm/virtio.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>
#include <utility>

#include "virtio/blk_request.hpp"

namespace asyncvm::virtio {

namespace {

constexpr std::uint64_t bit(unsigned number) { return std::uint64_t{1} << number; }

constexpr std::uint64_t feature_seg_max = bit(2);
constexpr std::uint64_t feature_read_only = bit(5);
constexpr std::uint64_t feature_blk_size = bit(6);
constexpr std::uint64_t feature_flush = bit(9);
constexpr std::uint64_t feature_topology = bit(10);
constexpr std::uint64_t feature_config_wce = bit(11);
constexpr std::uint64_t feature_mq = bit(12);
constexpr std::uint64_t feature_discard = bit(13);
constexpr std::uint64_t feature_write_zeroes = bit(14);

constexpr std::uint16_t queue_size = 256;
/// Requests that the backend has at once, of one queue.
constexpr unsigned most_under_way = 128;

/// The configuration space (5.2.4), up to what the features need.
struct BlkConfig {
    std::uint64_t capacity;  ///< sectors of 512 bytes
    std::uint32_t size_max;
    std::uint32_t seg_max;
    std::uint16_t cylinders;
    std::uint8_t heads;
    std::uint8_t sectors;
    std::uint32_t blk_size;
    std::uint8_t physical_block_exp;
    std::uint8_t alignment_offset;
    std::uint16_t min_io_size;  ///< blocks
    std::uint32_t opt_io_size;
    std::uint8_t writeback;
    std::uint8_t unused0;
    std::uint16_t num_queues;
    std::uint32_t max_discard_sectors;
    std::uint32_t max_discard_seg;
    std::uint32_t discard_sector_alignment;
    std::uint32_t max_write_zeroes_sectors;
    std::uint32_t max_write_zeroes_seg;
    std::uint8_t write_zeroes_may_unmap;
    std::array<std::uint8_t, 3> unused1;
};
static_assert(offsetof(BlkConfig, writeback) == 0x20 && offsetof(BlkConfig, max_discard_sectors) == 0x24);
static_assert(offsetof(BlkConfig, write_zeroes_may_unmap) == 0x38 && sizeof(BlkConfig) == 0x40);
constexpr std::size_t blk_config_size = 0x3c;

/// What a driver can change, and what it has been told.
struct BlkState {
    bool write_back = true;
    std::uint64_t size = 0;  ///< of the disk, bytes

    static constexpr unsigned state_version = 2;
    template <class Archive>
    void fields(Archive& archive) {
        archive.field("write_back", write_back);
        archive.field("size", size);
    }
};

class Blk final : public Device {
public:
    Blk(std::shared_ptr<BlockBackend> disk, const std::string& serial, unsigned queues)
        : disk_(std::move(disk)), queues_(queues) {
        state_.size = disk_->properties().size;
        if (Event* const changed = disk_->changed()) seen_at_start_ = changed->generation();
        std::memcpy(id_.data(), serial.data(), std::min(serial.size(), id_.size()));
    }

    [[nodiscard]] std::string_view name() const noexcept override { return "virtio-blk"; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return 2; }

    [[nodiscard]] std::uint64_t features() const override {
        const std::uint64_t both =
            feature_seg_max | feature_blk_size | feature_flush | feature_topology | (queues_ > 1 ? feature_mq : 0);
        if (disk_->properties().read_only) return both | feature_read_only;
        return both | feature_config_wce | feature_discard | feature_write_zeroes;
    }

    [[nodiscard]] std::vector<QueueShape> queues() const override {
        return std::vector<QueueShape>(queues_, {.size = queue_size, .coroutines = most_under_way, .output = true});
    }

    [[nodiscard]] std::vector<std::byte> config() const override {
        constexpr std::uint32_t physical = 4096;
        const std::uint32_t block = disk_->properties().block_size;
        BlkConfig config{};
        config.capacity = state_.size / blk_sector;
        config.seg_max = queue_size - 2;  // a header and a status come with them
        config.blk_size = block;
        config.physical_block_exp = block < physical ? static_cast<std::uint8_t>(std::countr_zero(physical / block)) : 0;
        config.min_io_size = static_cast<std::uint16_t>(std::max<std::uint32_t>(physical / block, 1));
        config.writeback = state_.write_back ? 1 : 0;
        config.num_queues = static_cast<std::uint16_t>(queues_);
        const BlkLimits limits = limits_now();
        config.max_discard_sectors = config.max_write_zeroes_sectors = limits.most_sectors;
        config.max_discard_seg = config.max_write_zeroes_seg = limits.most_ranges;
        config.discard_sector_alignment = std::max<std::uint32_t>(block, physical) / blk_sector;
        config.write_zeroes_may_unmap = 1;
        const auto bytes = std::as_bytes(std::span(&config, 1)).first(blk_config_size);
        return {bytes.begin(), bytes.end()};
    }

    void write_config(std::size_t offset, std::span<const std::byte> bytes) override {
        const std::size_t place = offsetof(BlkConfig, writeback);
        if (!negotiated(feature_config_wce) || offset > place || place - offset >= bytes.size()) return;
        state_.write_back = bytes[place - offset] != std::byte{0};
    }

    void attached(const DeviceContext& context) override { gate_ = context.gate; }

    /// Tells the driver of another size or another image: not while the machine is paused, and not by a configuration that changes for some
    /// other reason, which would not make the driver look.
    [[nodiscard]] awaitable<void> run() override {
        Event* const changed = disk_->changed();
        if (changed == nullptr) co_return;
        auto seen = seen_at_start_;
        for (;;) {
            co_await changed->wait(seen);
            if (!gate_->is_open()) co_await PauseGate::passed(gate_);
            seen = changed->generation();
            state_.size = disk_->properties().size;
            config_changed();
        }
    }

    [[nodiscard]] awaitable<void> serve(Queue& queue) override {
        // Requests that are answered at once must not keep the loop from its other work.
        constexpr unsigned most_in_a_row = 64;
        for (unsigned row = 1;; ++row) {
            Chain chain = co_await queue.pop();
            const auto request = read_header(chain);
            if (!request) {
                queue.fail("a request without a header or without a status byte");
                continue;
            }
            const BlkStatus status = co_await answer(*request, chain);
            const std::uint64_t size = chain.writable_size();
            const std::array last{static_cast<std::byte>(status)};
            chain.write(size - 1, last);
            queue.push(std::move(chain), size);
            if (row % most_in_a_row == 0) co_await asio::post(use_awaitable);
        }
    }

    void reset() override { state_ = {.size = disk_->properties().size}; }
    void save(StateWriter& writer) override { save_state(writer, name(), state_); }
    void restore(StateReader& reader) override {
        restore_state(reader, name(), state_);
        // Perhaps it was saved with a disk of another size.
        Event* const changed = disk_->changed();
        if (changed != nullptr && state_.size != disk_->properties().size) changed->notify();
    }

private:
    awaitable<BlkStatus> answer(const BlkRequest& request, Chain& chain) {
        using Kind = BlkRequest::Kind;
        switch (request.kind) {
            case Kind::read: {
                const BlkStatus status = co_await read(request.sector, chain);
                co_return status;
            }
            case Kind::write: {
                const BlkStatus status = co_await write(request.sector, chain);
                co_return status;
            }
            case Kind::flush: {
                const auto error = co_await disk_->flush();
                co_return error ? BlkStatus::io_error : BlkStatus::ok;
            }
            case Kind::get_id:
                chain.write(0, std::span(id_).first(std::min<std::uint64_t>(id_.size(), chain.writable_size() - 1)));
                co_return BlkStatus::ok;
            case Kind::discard:
            case Kind::write_zeroes: {
                const BlkStatus status = co_await change_ranges(request.kind, chain);
                co_return status;
            }
        }
        co_return BlkStatus::unsupported;
    }

    awaitable<BlkStatus> read(std::uint64_t sector, const Chain& chain) {
        const auto data = data_to_read(chain);
        if (!is_on_disk(sector, chain.writable_size() - 1, disk_->properties().size)) co_return BlkStatus::io_error;
        const auto error = co_await disk_->read(sector * blk_sector, data);
        co_return error ? BlkStatus::io_error : BlkStatus::ok;
    }

    awaitable<BlkStatus> write(std::uint64_t sector, const Chain& chain) {
        const auto data = data_to_write(chain);
        std::uint64_t size = 0;
        for (const auto& buffer : data) size += buffer.size();
        if (!is_on_disk(sector, size, disk_->properties().size)) co_return BlkStatus::io_error;
        auto error = co_await disk_->write(sector * blk_sector, data);
        if (!error && writes_through()) error = co_await disk_->flush();
        co_return error ? BlkStatus::io_error : BlkStatus::ok;
    }

    awaitable<BlkStatus> change_ranges(BlkRequest::Kind kind, const Chain& chain) {
        if (disk_->properties().read_only) co_return BlkStatus::io_error;
        if (!negotiated(kind == BlkRequest::Kind::discard ? feature_discard : feature_write_zeroes)) {
            co_return BlkStatus::unsupported;
        }
        auto status = BlkStatus::ok;
        const auto ranges = read_ranges(chain, kind, limits_now(), status);
        std::error_code error;
        for (const BlkRange& range : ranges) {
            if (kind == BlkRequest::Kind::discard) {
                error = co_await disk_->discard(range.offset, range.size);
            } else {
                error = co_await disk_->write_zeroes(range.offset, range.size, range.unmap);
            }
            if (error) co_return error == std::errc::operation_not_supported ? BlkStatus::unsupported : BlkStatus::io_error;
        }
        if (!ranges.empty() && writes_through()) error = co_await disk_->flush();
        co_return error ? BlkStatus::io_error : status;
    }

    [[nodiscard]] BlkLimits limits_now() const noexcept { return {.size = disk_->properties().size}; }

    /// Each write is stable when it is answered (5.2.5.2): a driver that does not flush relies on it.
    [[nodiscard]] bool writes_through() const noexcept {
        if (negotiated(feature_config_wce)) return !state_.write_back;
        return !negotiated(feature_flush);
    }

    const std::shared_ptr<BlockBackend> disk_;
    const unsigned queues_;
    std::array<std::byte, longest_disk_serial> id_{};
    BlkState state_;
    std::shared_ptr<PauseGate> gate_;
    std::uint64_t seen_at_start_ = 0;  ///< of disk_->changed()
};

}  // namespace

std::shared_ptr<Device> make_blk(std::shared_ptr<BlockBackend> disk, const std::string& serial, unsigned queues) {
    return std::make_shared<Blk>(std::move(disk), serial, std::max(queues, 1U));
}

}  // namespace asyncvm::virtio
