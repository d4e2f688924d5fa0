#include "record/journal.hpp"

#include <asyncvm/error.hpp>

#include "text/errno_text.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace asyncvm::record {

void Journal::open(const Header& header, const MachineClock& clock, Log log) {
    const std::lock_guard lock(mutex_);
    clock_ = &clock;
    start_ = clock.now();
    log_ = std::move(log);
    file_ = UniqueFd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (!file_.valid()) {
        throw Error(ErrorKind::host, fmt::format("cannot record {} in {}: {}", header.device, path_, reason(errno)));
    }
    write(format(header));
}

void Journal::add(Event event) noexcept {
    const std::lock_guard lock(mutex_);
    if (!file_.valid()) return;
    try {
        event.at = clock_->now() - start_;
        write(format(event));
    } catch (...) {
        // Without memory for a line there is none in the file.
        file_.reset();
    }
}

void Journal::close() noexcept {
    const std::lock_guard lock(mutex_);
    file_.reset();
}

void Journal::write(std::string_view line) {
    for (std::string_view rest = line; !rest.empty();) {
        const auto written = ::write(file_.get(), rest.data(), rest.size());
        if (written >= 0) {
            rest.remove_prefix(static_cast<std::size_t>(written));
            continue;
        }
        const int error = errno;
        if (error == EINTR) continue;
        // A part of a line would be read as something else.
        static_cast<void>(::ftruncate(file_.get(), static_cast<off_t>(size_)));
        file_.reset();
        log_(
            fmt::format("the recording {} ends here, after {} bytes: {} (the device goes on)", path_, size_, reason(error)));
        return;
    }
    size_ += line.size();
}

}  // namespace asyncvm::record
