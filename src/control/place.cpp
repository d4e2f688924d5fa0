#include "control/place.hpp"

#include "socket/address.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <string_view>
#include <system_error>

namespace asyncvm::control {

Place parse_place(const std::string& text) {
    constexpr std::string_view unix_socket = "unix:";
    constexpr std::string_view inherited = "fd:";
    Place place;
    if (text.starts_with(unix_socket) && text.size() > unix_socket.size()) {
        place.path = text.substr(unix_socket.size());
        static_cast<void>(unix_address(place.path));
        return place;
    }
    if (text.starts_with(inherited)) {
        const char* const end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data() + inherited.size(), end, place.descriptor);
        if (error == std::errc() && stop == end && place.descriptor > STDERR_FILENO) return place;
    }
    throw Error(ErrorKind::usage,
                fmt::format("--control: '{}' is neither unix:PATH nor fd:NUMBER (of an inherited socket, 3 or "
                            "more; example: --control unix:/tmp/vm.sock)",
                            text));
}

}  // namespace asyncvm::control
