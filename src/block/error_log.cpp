#include "block/error_log.hpp"

#include "text/errno_text.hpp"

#include <fmt/format.h>

namespace asyncvm::block {

void ErrorLog::note(std::string_view operation, std::error_code error) {
    if (!error || !said_.emplace(operation, error.value()).second) return;
    say(fmt::format("{} failed: {} (the guest is told; this is said once)", operation, reason(error.value())));
}

void ErrorLog::say(std::string_view text) const { log_(fmt::format("disk {}: {}", disk_, text)); }

std::error_code outside(std::uint64_t offset, std::uint64_t size, std::uint64_t disk_size) noexcept {
    if (offset <= disk_size && size <= disk_size - offset) return {};
    return std::make_error_code(std::errc::invalid_argument);
}

}  // namespace asyncvm::block
