/// What a device is, whoever serves it: numbers, features and the configuration space of its chapter of the specification.
/// Pure.
#pragma once

#include <asyncvm/vhost_user.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace asyncvm::vhost {

/// What a back end has said of itself.
struct BackEnd {
    std::uint64_t features = 0;       ///< virtio's, and has_protocol_features
    std::uint64_t protocol = 0;       ///< protocol features that both sides have
    unsigned queues = 1;              ///< most that it serves
    std::vector<std::byte> config{};  ///< its configuration space, if the front end has none for the kind
};

class Kind {
public:
    explicit Kind(VhostUserSpec spec) : spec_(std::move(spec)) {}

    [[nodiscard]] const VhostUserSpec& spec() const noexcept { return spec_; }
    [[nodiscard]] std::string_view name() const noexcept;
    [[nodiscard]] std::uint32_t id() const noexcept;

    /// Of the device, that the driver is offered with this back end.
    [[nodiscard]] std::uint64_t features(const BackEnd& back_end) const noexcept;
    /// Of these, the ones that the front end has, whatever the back end has.
    [[nodiscard]] std::uint64_t own_features() const noexcept;
    /// Of the transport and the queues, that the driver is not offered.
    [[nodiscard]] std::uint64_t refused_features(const BackEnd& back_end) const noexcept;

    [[nodiscard]] std::vector<virtio::QueueShape> queues(const BackEnd& back_end) const;
    /// Queues that a back end has to serve.
    [[nodiscard]] unsigned least_queues() const noexcept;

    /// The sizes of the back end's configuration space that the front end asks for, one after the other until there is an
    /// answer; none if the front end makes it itself.
    [[nodiscard]] std::span<const std::uint32_t> config_sizes() const noexcept;
    /// What the driver sees. `connected`: whether the back end is there.
    [[nodiscard]] std::vector<std::byte> config(const BackEnd& back_end, bool connected) const;

private:
    VhostUserSpec spec_;
};

}  // namespace asyncvm::vhost
