/// The text of --device, parsed.
#pragma once

#include <asyncvm/device_kind.hpp>

#include <string_view>

namespace asyncvm {

/// `NAME[,KEY=VALUE]...`, `record=FILE,NAME[,KEY=VALUE]...` or `replay=FILE[,KEY=VALUE]...`. Two commas in a row stand for one that is part of a value:
/// `debugcon,chardev=tcp:5555,,wait`. Throws Error(usage); names, keys and values are checked later, by add_device().
[[nodiscard]] DeviceRequest parse_device_request(std::string_view text);

}  // namespace asyncvm
