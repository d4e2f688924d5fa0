/// The network card of virtio. docs/devices/virtio-net.md
#pragma once

#include <asyncvm/net.hpp>
#include <asyncvm/virtio.hpp>

#include <cstdint>
#include <memory>
#include <optional>

namespace asyncvm::virtio {

/// A network card with the Ethernet address `mac`, whose frames go to `backend` and come from there. `backend` is not null,
/// works on the machine's device loop, and has no other card. `mtu`: what the driver is told to take, in bytes.
[[nodiscard]] std::shared_ptr<Device> make_net(std::shared_ptr<NetBackend> backend, const MacAddress& mac,
                                               std::optional<std::uint16_t> mtu = std::nullopt);

}  // namespace asyncvm::virtio
