/// Virtio devices that another process serves, by the protocol vhost-user: file systems (virtiofsd), disks
/// (qemu-storage-daemon, SPDK), network cards. docs/vhost-user.md
#pragma once

#include <asyncvm/log.hpp>
#include <asyncvm/net.hpp>
#include <asyncvm/virtio.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace asyncvm {

struct VhostUserSpec {
    enum class Kind : std::uint8_t { disk, file_system, network };

    Kind kind = Kind::file_system;
    std::string path{};                  ///< of the back end's socket
    std::string tag{};                   ///< file_system: the name that the guest mounts
    MacAddress mac{};                    ///< network
    std::optional<std::uint16_t> mtu{};  ///< network: what the driver is told to take, bytes
    unsigned queues = 1;  ///< disk: how many the guest gets, if the back end has so many; 1 to most_vhost_user_queues

    bool operator==(const VhostUserSpec&) const = default;
};

inline constexpr unsigned most_vhost_user_queues = 8;

/// The longest name of a file system, in bytes.
inline constexpr std::size_t longest_file_system_tag = 36;

/// Parses `PATH,tag=NAME`, also as `tag=NAME,socket=PATH`. A comma of the path is doubled. Pure. Throws Error(usage) that
/// says what is wrong and gives an example.
[[nodiscard]] VhostUserSpec parse_file_system_spec(std::string_view text);

struct VhostUserEnvironment {
    Log log{};                                    ///< is called on the device loop: back ends that come and go
    std::string label = "fs0";                    ///< begins each line on the log
    std::chrono::milliseconds start_limit{1000};  ///< how long the back end's socket may be missing
    std::chrono::milliseconds reply_limit{5000};  ///< how long a back end may take for an answer
    std::chrono::milliseconds pause{100};         ///< before the first attempt to connect again; then doubled, up to 3 s
};

/// Connects to the back end, asks what it offers, and makes a device of that. Blocks, start_limit and a few times
/// reply_limit at most. The device's machine needs MachineConfig::memory_share: Bus::attach() throws Error(usage) without.
/// When the back end is gone later, the log says so, and the device connects again as soon as there is one; meanwhile the
/// guest waits for its requests. Throws Error(host) if there is no back end, or none that can be used, and Error(usage) for
/// a path that is too long for a socket.
[[nodiscard]] std::shared_ptr<virtio::Device> connect_vhost_user(const VhostUserSpec& spec,
                                                                 VhostUserEnvironment environment);

}  // namespace asyncvm
