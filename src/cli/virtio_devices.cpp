#include "cli/virtio_devices.hpp"

#include "control/steering.hpp"

#include <asyncvm/drive.hpp>
#include <asyncvm/observer.hpp>
#include <asyncvm/vhost_user.hpp>
#include <asyncvm/virtio_net.hpp>
#include <asyncvm/vsock.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <string>
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

/// What a dry run has in place of a device that opens something.
class Unopened final : public virtio::Device {
public:
    Unopened(std::string_view name, std::uint32_t id) : name_(name), id_(id) {}

    [[nodiscard]] std::string_view name() const noexcept override { return name_; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return id_; }
    [[nodiscard]] std::vector<virtio::QueueShape> queues() const override { return {{.coroutines = 0}}; }
    [[nodiscard]] awaitable<void> serve(virtio::Queue&) override { co_return; }

private:
    std::string_view name_;
    std::uint32_t id_;
};

constexpr std::uint32_t network_card = 1;
constexpr std::uint32_t disk_device = 2;
constexpr std::uint32_t file_system_device = 26;

std::shared_ptr<virtio::Device> make_elsewhere(const VhostUserSpec& spec, std::uint32_t id, const std::string& label,
                                               bool verbose, const Wiring& wiring) {
    if (wiring.loop == nullptr) return std::make_shared<Unopened>("vhost-user", id);
    auto device = connect_vhost_user(spec, {.log = wiring.log, .label = label});
    if (verbose) wiring.log(fmt::format("{}: the back end at {} serves it", label, spec.path));
    return device;
}

std::string disk_label(unsigned index) { return fmt::format("disk{}", index); }

void watch(Drive& drive, std::string label, std::shared_ptr<Observer> observer) {
    drive.on_change([&drive, label = std::move(label), observer = std::move(observer)](bool exchanged) {
        const auto size = drive.properties().size;
        if (exchanged)
            observer->disk_changed(label, drive.spec().source, size);
        else
            observer->disk_resized(label, size);
    });
}

std::shared_ptr<virtio::Device> make_disk(const DiskSpec& spec, unsigned index, const Options& options,
                                          const Wiring& wiring) {
    constexpr unsigned most_queues = 8;
    if (spec.kind == DiskSpec::Kind::vhost_user) {
        VhostUserSpec elsewhere{.kind = VhostUserSpec::Kind::disk, .path = spec.source};
        elsewhere.queues = spec.queues != 0 ? spec.queues : std::min(options.cpus, most_vhost_user_queues);
        return make_elsewhere(elsewhere, disk_device, disk_label(index), options.verbose, wiring);
    }
    std::shared_ptr<BlockBackend> disk;
    if (wiring.loop == nullptr) {
        disk = std::make_shared<NoDisk>();
    } else {
        auto drive = std::make_shared<Drive>(spec, *wiring.loop, wiring.log);
        if (options.verbose) wiring.log(fmt::format("disk {}", drive->properties().description));
        if (wiring.steering != nullptr) wiring.steering->add_disk({disk_label(index), drive});
        if (wiring.observer) watch(*drive, disk_label(index), wiring.observer);
        disk = std::move(drive);
    }
    return virtio::make_blk(std::move(disk), spec.serial, std::min(options.cpus, most_queues));
}

std::shared_ptr<virtio::Device> make_card(const NetSpec& spec, unsigned index, bool verbose, const Wiring& wiring) {
    if (spec.kind == NetSpec::Kind::vhost_user) {
        const VhostUserSpec elsewhere{.kind = VhostUserSpec::Kind::network,
                                      .path = spec.path,
                                      .mac = spec.mac.value_or(default_mac(index)),
                                      .mtu = spec.mtu};
        return make_elsewhere(elsewhere, network_card, fmt::format("net{}", index), verbose, wiring);
    }
    if (wiring.loop == nullptr) return std::make_shared<Unopened>("virtio-net", network_card);
    NetEnvironment environment{.loop = *wiring.loop, .log = wiring.log, .label = fmt::format("net{}", index)};
    return virtio::make_net(open_net(spec, std::move(environment)), spec.mac.value_or(default_mac(index)), spec.mtu);
}

std::shared_ptr<virtio::Device> make_sockets(const VsockSpec& spec, const Wiring& wiring) {
    constexpr std::uint32_t sockets = 19;
    if (wiring.loop == nullptr) return std::make_shared<Unopened>("virtio-vsock", sockets);
    return virtio::make_vsock(spec, *wiring.loop, wiring.log);
}

std::shared_ptr<virtio::Device> make_named_ports(const Options& options, const Wiring& wiring) {
    std::vector<virtio::Port> ports;
    for (const auto& [name, stream] : options.virtio_ports) {
        ports.push_back({name, wiring.open_stream({stream, fmt::format("port {}", name), true})});
    }
    return virtio::make_ports(std::move(ports));
}

}  // namespace

unsigned count_virtio_devices(const Options& options) {
    auto count = static_cast<unsigned>(virtio_disks(options).size());
    count += static_cast<unsigned>(options.networks.size());
    count += static_cast<unsigned>(options.file_systems.size());
    count += static_cast<unsigned>(options.consoles.size());
    if (!options.virtio_ports.empty()) ++count;
    if (options.rng) ++count;
    if (options.vsock) ++count;
    if (options.balloon) ++count;
    return count;
}

std::vector<std::shared_ptr<virtio::Device>> make_virtio_devices(const Options& options,
                                                                 [[maybe_unused]] const Wiring& wiring) {
    std::vector<std::shared_ptr<virtio::Device>> devices;
    const auto disks = virtio_disks(options);
    for (unsigned index = 0; index < disks.size(); ++index) {
        devices.push_back(make_disk(disks[index], index, options, wiring));
    }
    for (unsigned index = 0; index < options.networks.size(); ++index) {
        devices.push_back(make_card(options.networks[index], index, options.verbose, wiring));
    }
    for (unsigned index = 0; index < options.file_systems.size(); ++index) {
        devices.push_back(make_elsewhere(options.file_systems[index], file_system_device, fmt::format("fs{}", index),
                                         options.verbose, wiring));
    }
    for (unsigned index = 0; index < options.consoles.size(); ++index) {
        auto stream = wiring.open_stream({options.consoles[index], fmt::format("console{}", index), true});
        devices.push_back(virtio::make_console(std::move(stream)));
    }
    if (!options.virtio_ports.empty()) devices.push_back(make_named_ports(options, wiring));
    if (options.rng) devices.push_back(virtio::make_rng());
    if (options.vsock) devices.push_back(make_sockets(*options.vsock, wiring));
    if (options.balloon) devices.push_back(virtio::make_balloon());
    return devices;
}

}  // namespace asyncvm::cli
