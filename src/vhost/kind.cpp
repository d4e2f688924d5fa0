#include "vhost/kind.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "vhost/message.hpp"

namespace asyncvm::vhost {

namespace {

using SpecKind = VhostUserSpec::Kind;

constexpr std::uint64_t bit(unsigned number) { return std::uint64_t{1} << number; }

// Disks (5.2). Without CONFIG_WCE: a switch of the cache is not a message that the back end answers before the next request.
constexpr std::uint64_t disk_size_max = bit(1);
constexpr std::uint64_t disk_segments_max = bit(2);
constexpr std::uint64_t disk_geometry = bit(4);
constexpr std::uint64_t disk_read_only = bit(5);
constexpr std::uint64_t disk_block_size = bit(6);
constexpr std::uint64_t disk_flush = bit(9);
constexpr std::uint64_t disk_topology = bit(10);
constexpr std::uint64_t disk_queues = bit(12);
constexpr std::uint64_t disk_discard = bit(13);
constexpr std::uint64_t disk_write_zeroes = bit(14);
constexpr std::uint64_t disk_features = disk_size_max | disk_segments_max | disk_geometry | disk_read_only |
                                        disk_block_size | disk_flush | disk_topology | disk_queues | disk_discard |
                                        disk_write_zeroes;
constexpr std::size_t disk_queues_place = 34;  ///< of the number of queues in the configuration space
/// With and without secure erase, and of back ends from before discard.
constexpr std::array<std::uint32_t, 3> disk_config_sizes{60, 48, 36};

// Network cards (5.1), without those features that need the control queue, which would be the front end's to serve.
constexpr std::uint64_t net_mtu = bit(3);
constexpr std::uint64_t net_address = bit(5);
constexpr std::uint64_t net_status = bit(16);
constexpr std::uint64_t net_checksums = bit(0) | bit(1);
constexpr std::uint64_t net_segmentation = bit(7) | bit(8) | bit(9) | bit(10) | bit(11) | bit(12) | bit(13) | bit(14);
constexpr std::uint64_t net_mergeable_buffers = bit(15);
constexpr std::size_t mac_size = 6;

// File systems (5.11): the hiprio queue and one for requests, as virtiofsd has them.
constexpr std::size_t tag_size = longest_file_system_tag;
constexpr unsigned file_system_queues = 2;

constexpr std::uint64_t ring_packed = bit(34);  ///< its positions can't be told from the guest's memory

}  // namespace

std::string_view Kind::name() const noexcept {
    switch (spec_.kind) {
        case SpecKind::disk:
            return "vhost-user-blk";
        case SpecKind::file_system:
            return "vhost-user-fs";
        case SpecKind::network:
            return "vhost-user-net";
    }
    return {};
}

std::uint32_t Kind::id() const noexcept {
    constexpr std::uint32_t network = 1;
    constexpr std::uint32_t disk = 2;
    constexpr std::uint32_t file_system = 26;
    return spec_.kind == SpecKind::network ? network : spec_.kind == SpecKind::disk ? disk : file_system;
}

std::uint64_t Kind::own_features() const noexcept {
    if (spec_.kind != SpecKind::network) return 0;
    return net_address | net_status | (spec_.mtu ? net_mtu : 0);
}

std::uint64_t Kind::features(const BackEnd& back_end) const noexcept {
    std::uint64_t known = 0;
    if (spec_.kind == SpecKind::disk) known = disk_features;
    if (spec_.kind == SpecKind::network) known = net_checksums | net_segmentation | net_mergeable_buffers;
    return (back_end.features & known) | own_features();
}

std::uint64_t Kind::refused_features(const BackEnd& back_end) const noexcept { return ~back_end.features | ring_packed; }

std::vector<virtio::QueueShape> Kind::queues(const BackEnd& back_end) const {
    constexpr std::uint16_t requests = 256;
    // Linux makes its largest read or write as large as the queue has room for pages.
    constexpr std::uint16_t pages = 1024;
    const bool files = spec_.kind == SpecKind::file_system;
    std::size_t count = 2;  // of a network card: receive, transmit
    if (files) count = file_system_queues;
    if (spec_.kind == SpecKind::disk) {
        count = (back_end.features & disk_queues) != 0 ? std::min(spec_.queues, back_end.queues) : 1;
    }
    virtio::QueueShape shape;
    shape.size = files ? pages : requests;
    shape.coroutines = 0;
    return std::vector(count, shape);
}

unsigned Kind::least_queues() const noexcept { return spec_.kind == SpecKind::file_system ? file_system_queues : 1; }

std::span<const std::uint32_t> Kind::config_sizes() const noexcept {
    if (spec_.kind == SpecKind::disk) return disk_config_sizes;
    return {};
}

std::vector<std::byte> Kind::config(const BackEnd& back_end, bool connected) const {
    std::vector<std::byte> space;
    if (spec_.kind == SpecKind::disk) {
        space = back_end.config;
        const auto count = static_cast<std::uint16_t>(queues(back_end).size());
        if (space.size() >= disk_queues_place + sizeof count) std::memcpy(&space[disk_queues_place], &count, sizeof count);
    } else if (spec_.kind == SpecKind::file_system) {
        space.resize(tag_size + sizeof(std::uint32_t));
        std::memcpy(space.data(), spec_.tag.data(), std::min(spec_.tag.size(), tag_size));
        const std::uint32_t count = file_system_queues - 1;
        std::memcpy(&space[tag_size], &count, sizeof count);
    } else {
        space.resize(mac_size + sizeof(std::uint16_t));
        std::memcpy(space.data(), spec_.mac.data(), mac_size);
        space[mac_size] = std::byte{connected};
        if (spec_.mtu) {
            for (const unsigned number : {1U, unsigned{*spec_.mtu}}) {  // pairs of queues, and the MTU
                space.push_back(static_cast<std::byte>(number));
                space.push_back(static_cast<std::byte>(number >> 8));
            }
        }
    }
    return space;
}

}  // namespace asyncvm::vhost
