/// The network card of virtio. docs/devices/virtio-net.md
#pragma once

#include <asyncvm/net.hpp>
#include <asyncvm/virtio.hpp>

#include <memory>

namespace asyncvm::virtio {

/// A network card with the Ethernet address `mac`, whose frames go to `backend` and come from there. `backend` is not null,
/// works on the machine's device loop, and has no other card.
[[nodiscard]] std::shared_ptr<Device> make_net(std::shared_ptr<NetBackend> backend, const MacAddress& mac);

}  // namespace asyncvm::virtio
