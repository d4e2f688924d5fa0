#include "control/place.hpp"

#include "socket/address.hpp"
#include "text/complaint.hpp"
#include "text/parse.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <system_error>

namespace asyncvm::control {

Place parse_place(const std::string& text) {
    constexpr std::string_view unix_socket = "unix:";
    constexpr std::string_view inherited = "fd:";
    Place place;
    if (text.starts_with(unix_socket) && text.size() > unix_socket.size()) {
        const auto words = split_at_commas(std::string_view(text).substr(unix_socket.size()));
        const auto listens = [](const std::string& word) { return says_that_it_listens(word); };
        const auto wrong = std::find_if_not(words.begin() + 1, words.end(), listens);
        if (wrong != words.end()) {
            Complaint(fmt::format("--control '{}'", text))(
                "there is no option '{}' (a comma in the path is doubled; with -S the guest waits for cont)", *wrong);
        }
        place.path = words.front();
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
