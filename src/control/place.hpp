/// Where a control socket is. Pure.
#pragma once

#include <string>

namespace asyncvm::control {

/// Where the socket is.
struct Place {
    std::string path;     ///< of a socket file, which only this user may use; empty: `descriptor`
    int descriptor = -1;  ///< that this process has got: one connection, or a socket that listens
};

/// "unix:PATH", with words behind it that QEMU has for a socket that listens, or "fd:N". Throws Error(usage).
[[nodiscard]] Place parse_place(const std::string& text);

}  // namespace asyncvm::control
