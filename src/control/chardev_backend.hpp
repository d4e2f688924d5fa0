/// Where a stream goes, in the words of QEMU's chardev-change (its qapi/char.json and qapi/sockets.json). Pure.
#pragma once

#include "control/json.hpp"

#include <asyncvm/open_chardev.hpp>

#include <span>
#include <string_view>

namespace asyncvm::control {

/// The types of backend that there are here.
[[nodiscard]] std::span<const std::string_view> chardev_backends() noexcept;

struct ChardevBackend {
    ChardevSpec spec;
    bool connect_later = false;  ///< `reconnect` is given: the server may come later
};

/// `backend` is an object, for a stream that goes to `present` now. What QEMU has no word for (how much is kept, whether the
/// guest waits) stays as it is, and so does the log, unless there is a `logfile`. Throws CommandError, with QEMU's texts for
/// what QEMU refuses, and for what is not there here.
[[nodiscard]] ChardevBackend parse_backend(const Json& backend, const ChardevSpec& present);

}  // namespace asyncvm::control
