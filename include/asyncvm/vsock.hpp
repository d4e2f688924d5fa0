/// Virtio sockets: streams between ports of the guest and Unix sockets of the host. docs/devices/virtio-vsock.md
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/log.hpp>
#include <asyncvm/virtio.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace asyncvm {

/// The parsed form of the text after `--vsock`.
struct VsockSpec {
    std::string path;       ///< where programs of the host connect; port N of the host is a listener at PATH_N
    std::uint32_t cid = 3;  ///< the guest's address: 3 to 0xfffffffe

    bool operator==(const VsockSpec&) const = default;
};

/// Parses `unix:PATH[,cid=N]`. A comma that belongs to the path is doubled. Any thread. Throws Error(usage) with an example.
[[nodiscard]] VsockSpec parse_vsock_spec(std::string_view text);

namespace virtio {

/// Listens at the path. `loop` is the device loop of the machine that gets the device, and outlives it; `log` is called on
/// it. On that loop's thread, or before it runs. Throws Error(host), and Error(usage) if the path is too long.
[[nodiscard]] std::shared_ptr<Device> make_vsock(const VsockSpec& spec, asio::io_context& loop, Log log);

}  // namespace virtio

}  // namespace asyncvm
