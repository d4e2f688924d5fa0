/// A virtio disk at its transport, and its driver.
#pragma once

#include <boost/test/unit_test.hpp>

#include "fake_disk.hpp"
#include "mmio_driver.hpp"
#include "virtio/blk_request.hpp"

namespace asyncvm::virtio {

using test::FakeDisk;

using Kind = BlkRequest::Kind;
inline constexpr std::uint16_t for_device = RingDriver::writes;
inline constexpr std::uint64_t feature_read_only = 1 << 5, feature_flush = 1 << 9, feature_wce = 1 << 11,
                               feature_mq = 1 << 12, feature_discard = 1 << 13, feature_zeroes = 1 << 14;
inline constexpr std::uint64_t usual = feature_version_1 | feature_flush;
inline constexpr std::uint8_t no_status = 0xff;

struct Range {
    std::uint64_t sector;
    std::uint32_t sectors;
    std::uint32_t flags;
};

struct BlkFixture : MmioDriver {
    explicit BlkFixture(std::shared_ptr<FakeDisk> of = std::make_shared<FakeDisk>(), unsigned queues = 1)
        : MmioDriver(make_blk(of, "root-1", queues)), disk(std::move(of)) {
        fill();
    }
    /// With what `around` makes of the disk in its place.
    using Around =
        std::function<std::shared_ptr<BlockBackend>(const std::shared_ptr<FakeDisk>& of, asio::io_context& device_loop)>;
    BlkFixture(std::shared_ptr<FakeDisk> of, const Around& around)
        : MmioDriver([&](asio::io_context& device_loop) { return make_blk(around(of, device_loop), "root-1", 1); }),
          disk(std::move(of)) {
        fill();
    }

    static constexpr std::uint64_t header_at = 0x8000, table_at = 0x9000, data_at = 0x10000, status_at = 0xf000;

    void put_header(std::uint16_t head, std::uint32_t kind, std::uint64_t sector) {
        ring().put(header_at + 16 * head, kind);
        ring().put(header_at + 16 * head + 4, std::uint32_t{0});
        ring().put(header_at + 16 * head + 8, sector);
        ring().put(status_at + head, no_status);
    }
    /// Offers a request whose data are `size` bytes at data_at + 0x1000 * head.
    void ask(std::uint16_t head, Kind kind, std::uint64_t sector, std::uint32_t size) {
        const bool reads = kind == Kind::read || kind == Kind::get_id;
        put_header(head, static_cast<std::uint32_t>(kind), sector);
        std::vector<RingDriver::Buffer> buffers{{header_at + 16 * head, 16}};
        if (size != 0) buffers.push_back({data_at + 0x1000 * head, size, reads ? for_device : std::uint16_t{0}});
        buffers.push_back({status_at + head, 1, for_device});
        ring().offer(head, std::move(buffers));
    }
    /// The same with one descriptor of the ring, for a sector.
    void ask_indirect(std::uint16_t head, Kind kind, std::uint64_t sector) {
        put_header(head, static_cast<std::uint32_t>(kind), sector);
        const std::uint64_t table = table_at + 0x40 * head;
        const auto direction = kind == Kind::read ? for_device : std::uint16_t{0};
        ring().put_descriptor(table, 0, {header_at + 16 * head, 16, RingDriver::next, 1});
        ring().put_descriptor(table, 1,
                              {data_at + 0x1000 * head, 512, static_cast<std::uint16_t>(RingDriver::next | direction), 2});
        ring().put_descriptor(table, 2, {status_at + head, 1, for_device});
        ring().offer(head, {{table, 48, RingDriver::indirect}});
    }
    [[nodiscard]] std::uint8_t status(std::uint16_t head = 0) const { return rings[0]->get<std::uint8_t>(status_at + head); }
    /// The answer to one request.
    std::uint8_t answer(Kind kind, std::uint64_t sector, std::uint32_t size) {
        ask(0, kind, sector, size);
        notify(0);
        BOOST_TEST(ring().take_used().has_value());
        return status();
    }
    std::uint8_t answer(Kind kind, const std::vector<Range>& ranges) {
        for (std::size_t i = 0; i < ranges.size(); ++i) ring().put(data_at + 16 * i, ranges[i]);
        return answer(kind, 0, static_cast<std::uint32_t>(16 * ranges.size()));
    }
    [[nodiscard]] std::vector<std::byte> data(std::size_t size, std::uint16_t head = 0) const {
        std::vector<std::byte> bytes(size);
        BOOST_TEST(memory.read(data_at + 0x1000 * head, bytes) == size);
        return bytes;
    }
    [[nodiscard]] std::vector<std::byte> on_disk(std::size_t offset, std::size_t size) const {
        const auto first = disk->bytes.begin() + static_cast<std::ptrdiff_t>(offset);
        return {first, first + static_cast<std::ptrdiff_t>(size)};
    }
    template <typename T>
    [[nodiscard]] T config(std::uint64_t at) {
        return static_cast<T>(read(MmioRegisters::config + at, sizeof(T)));
    }

    std::shared_ptr<FakeDisk> disk;

private:
    void fill() {
        for (std::size_t i = 0; i < disk->bytes.size(); ++i) disk->bytes[i] = static_cast<std::byte>(i / 512 + i);
    }
};

struct ReadOnly : BlkFixture {
    ReadOnly() : BlkFixture(std::make_shared<FakeDisk>(64 << 10, true)) {}
};
struct FourQueues : BlkFixture {
    FourQueues() : BlkFixture(std::make_shared<FakeDisk>(), 4) {}
};

inline constexpr std::uint8_t ok = 0, io_error = 1, unsupported = 2;

}  // namespace asyncvm::virtio
