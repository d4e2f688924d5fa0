/// An eventfd for what belongs to one device.
#pragma once

#include <asyncvm/device.hpp>

#include <string_view>

namespace asyncvm {

/// Non-blocking, and closed on exec. `what` is for the words of an error: "a doorbell for". Throws Error(host) if the host
/// has none left.
[[nodiscard]] int make_eventfd(std::string_view what, const Device& device);

}  // namespace asyncvm
