#include "bus/eventfd.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <system_error>

namespace asyncvm {

int make_eventfd(std::string_view what, const Device& device) {
    const int event = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (event >= 0) return event;
    throw Error(ErrorKind::host, fmt::format("cannot make {} {}: {} (raise the limit that `ulimit -n` shows)", what,
                                             device.name(), std::generic_category().message(errno)));
}

}  // namespace asyncvm
