/// From a socket's path to a back end that is ready to be told of memory and rings.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/event.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "vhost/channel.hpp"
#include "vhost/kind.hpp"

namespace asyncvm::vhost {

struct Reached {
    bool listens = false;  ///< somebody has taken the connection
    std::shared_ptr<Channel> channel{};
    BackEnd back_end{};
};

/// Connects to the socket of `kind` and asks who is there. Returns an empty text, or why there is no back end that can be
/// used: the channel is closed then. `limit` and `changed` are the channel's. All references live until it has completed.
[[nodiscard]] awaitable<std::string> reach(asio::io_context& loop, const Kind& kind, std::chrono::milliseconds limit,
                                           std::shared_ptr<Event> changed, Reached& reached);

/// Empty, or what `now` lacks of `before`, in whose place it is. `accepted` are the features that the driver has accepted.
[[nodiscard]] std::string lacks(const BackEnd& now, const BackEnd& before, const Kind& kind, std::uint64_t accepted);

}  // namespace asyncvm::vhost
