#include <asyncvm/drive.hpp>

#include "block/image_error.hpp"
#include "block/open_disk.hpp"
#include "text/errno_text.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <string>
#include <string_view>

namespace asyncvm {

namespace {

template <typename Spans>
std::uint64_t bytes_of(Spans spans) noexcept {
    std::uint64_t bytes = 0;
    for (const auto& span : spans) bytes += span.size();
    return bytes;
}

/// The guest's mistake, or a wish that nobody has to fulfil.
bool is_refusal(std::error_code error) noexcept {
    return error == std::errc::invalid_argument || error == std::errc::read_only_file_system ||
           error == std::errc::operation_not_supported;
}

/// As QEMU says it.
Error could_not_open(std::string_view source, std::string why) {
    const bool is_function = why.starts_with("nbd_");
    if (!is_function && why.front() >= 'a' && why.front() <= 'z') why.front() = static_cast<char>(why.front() - 'a' + 'A');
    return {ErrorKind::host, fmt::format("Could not open '{}': {}", source, why)};
}

}  // namespace

/// Something is under way at an image.
class Drive::Hold {
public:
    explicit Hold(std::shared_ptr<Image> image) noexcept : image_(std::move(image)) { ++image_->under_way; }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    ~Hold() {
        if (--image_->under_way == 0 && image_->awaited) image_->idle.notify();
    }
    [[nodiscard]] const std::shared_ptr<Image>& image() const noexcept { return image_; }

private:
    const std::shared_ptr<Image> image_;
};

/// A request at the image that is there when it begins.
class Drive::UnderWay {
public:
    UnderWay(Drive& drive, DriveCounts::Kind& kind) : drive_(drive), kind_(kind), hold_(drive.image_) {}

    [[nodiscard]] BlockBackend& image() const noexcept { return *hold_.image()->disk; }

    /// Counts it. Returns `error`.
    std::error_code end(std::error_code error, std::uint64_t bytes, bool writes) {
        kind_.time += std::chrono::steady_clock::now() - since_;
        if (!error) {
            ++kind_.done;
            kind_.bytes += bytes;
            if (is_current() && drive_.error_of_ == &kind_) drive_.note({}, nullptr);
        } else if (!is_refusal(error)) {
            ++kind_.failed;
            if (is_current()) drive_.note(error, &kind_);
            if (drive_.on_error_) drive_.on_error_(writes, error);
        }
        return error;
    }

private:
    [[nodiscard]] bool is_current() const noexcept { return hold_.image() == drive_.image_; }

    Drive& drive_;
    DriveCounts::Kind& kind_;
    const Hold hold_;
    const std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

/// While it lives, other changes wait.
class Drive::Change {
public:
    explicit Change(Drive& drive) noexcept : drive_(drive) { drive_.changing_ = true; }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;
    ~Change() {
        drive_.changing_ = drive_.held_ = false;
        drive_.change_ended_.notify();
    }
    /// From now on requests wait, too.
    void hold_requests() noexcept { drive_.held_ = true; }

private:
    Drive& drive_;
};

Drive::Drive(DiskSpec spec, asio::io_context& loop, Log log) : Drive(spec, open_disk(spec, loop, log), loop, log) {}

Drive::Drive(DiskSpec spec, std::shared_ptr<BlockBackend> image, asio::io_context& loop, Log log,
             std::chrono::steady_clock::duration patience)
    : loop_(loop),
      log_(std::move(log)),
      patience_(patience),
      spec_(std::move(spec)),
      image_(std::make_shared<Image>(std::move(image))),
      properties_(image_->disk->properties()) {}

awaitable<std::error_code> Drive::read(std::uint64_t offset, ReadSpans to) {
    while (held_) co_await change_to_end();
    UnderWay request(*this, counts_.read);
    const auto error = co_await request.image().read(offset, to);
    co_return request.end(error, bytes_of(to), false);
}

awaitable<std::error_code> Drive::write(std::uint64_t offset, WriteSpans from) {
    while (held_) co_await change_to_end();
    UnderWay request(*this, counts_.write);
    const auto error = co_await request.image().write(offset, from);
    const auto bytes = bytes_of(from);
    if (!error) counts_.written_end = std::max(counts_.written_end, offset + bytes);
    co_return request.end(error, bytes, true);
}

awaitable<std::error_code> Drive::flush() {
    while (held_) co_await change_to_end();
    UnderWay request(*this, counts_.flush);
    const auto error = co_await request.image().flush();
    co_return request.end(error, 0, true);
}

awaitable<std::error_code> Drive::discard(std::uint64_t offset, std::uint64_t size) {
    while (held_) co_await change_to_end();
    UnderWay request(*this, counts_.discard);
    const auto error = co_await request.image().discard(offset, size);
    co_return request.end(error, size, true);
}

awaitable<std::error_code> Drive::write_zeroes(std::uint64_t offset, std::uint64_t size, bool may_unmap) {
    while (held_) co_await change_to_end();
    UnderWay request(*this, counts_.write);
    const auto error = co_await request.image().write_zeroes(offset, size, may_unmap);
    if (!error) counts_.written_end = std::max(counts_.written_end, offset + size);
    co_return request.end(error, size, true);
}

/// Of the change that is there now.
awaitable<void> Drive::change_to_end() {
    const auto seen = change_ended_.generation();
    co_await change_ended_.wait(seen);
}

/// Whether what is under way has ended, in time.
awaitable<bool> Drive::become_idle() const {
    const auto image = image_;
    image->awaited = true;
    const auto until = std::chrono::steady_clock::now() + patience_;
    for (;;) {
        const auto seen = image->idle.generation();
        const auto now = std::chrono::steady_clock::now();
        if (image->under_way == 0 || now >= until) break;
        co_await image->idle.wait(seen, until - now);
    }
    co_return image->under_way == 0;
}

awaitable<void> Drive::flush_image(std::shared_ptr<Hold> hold) {
    hold->image()->flush_error = co_await hold->image()->disk->flush();
}

/// A server that does not answer can't hold the change up: the flush is a coroutine of its own.
awaitable<std::error_code> Drive::flush_in_time() {
    const auto image = image_;
    image->flush_error = std::make_error_code(std::errc::io_error);
    asio::co_spawn(loop_, flush_image(std::make_shared<Hold>(image)), [](const std::exception_ptr&) {});
    const bool ended = co_await become_idle();
    co_return ended ? image->flush_error : std::make_error_code(std::errc::timed_out);
}

Error Drive::busy() const {
    return {ErrorKind::host, fmt::format("{} of its requests have not ended in {} s: nothing is changed", image_->under_way,
                                         std::chrono::duration_cast<std::chrono::seconds>(patience_).count())};
}

void Drive::note(std::error_code error, const DriveCounts::Kind* of) noexcept {
    error_ = error;
    error_of_ = of;
}

awaitable<void> Drive::resize(std::uint64_t size) {
    if (properties_.read_only) throw Error(ErrorKind::host, "Image is read-only");
    if (size == 0 || size % properties_.block_size != 0) {
        throw Error(ErrorKind::host,
                    fmt::format("{} bytes are no size of a disk with blocks of {} bytes (a multiple of that, "
                                "and not 0)",
                                size, properties_.block_size));
    }
    while (changing_) co_await change_to_end();
    Change change(*this);
    change.hold_requests();
    const bool idle = co_await become_idle();
    if (!idle) throw busy();
    co_await image_->disk->resize(size);
    const auto now = image_->disk->properties().size;
    const bool changed = std::exchange(properties_.size, now) != now;
    if (changed) changed_.notify();
    if (changed && on_change_) on_change_(false);
    log_(fmt::format("disk {}: it has {} bytes now", spec_.source, properties_.size));
}

void Drive::check_fits(const DiskSpec& spec) const {
    if (spec.read_only == properties_.read_only) return;
    throw block::ImageError(spec.source, properties_.read_only ? "the guest was told that this disk is read-only"
                                                               : "the guest was told that it can write to this disk");
}

void Drive::check_fits(const DiskSpec& spec, const BlockProperties& fresh) const {
    const auto told = properties_.block_size;
    if (told % fresh.block_size != 0 || fresh.size % told != 0) {
        throw block::ImageError(spec.source,
                                fmt::format("it has {} bytes in blocks of {}, and the guest was told that blocks have {}",
                                            fresh.size, fresh.block_size, told));
    }
}

awaitable<void> Drive::change(DiskSpec spec, bool force) {
    while (changing_) co_await change_to_end();
    Change change(*this);
    std::shared_ptr<BlockBackend> fresh;
    try {
        check_fits(spec);
        fresh = co_await block::open_disk_on_loop(spec, loop_, log_);
        check_fits(spec, fresh->properties());
    } catch (const block::ImageError& error) {
        throw could_not_open(spec.source, error.why());
    }
    change.hold_requests();
    const bool idle = co_await become_idle();
    if (!idle && !force) throw busy();
    if (idle) {
        const auto error = co_await flush_in_time();
        if (error && !force) {
            throw Error(ErrorKind::host,
                        fmt::format("the old image {} could not be flushed: {}", spec_.source, reason(error.value())));
        }
    }
    log_(fmt::format("disk {}: the guest has {} in its place now", spec_.source, fresh->properties().description));
    properties_.description = fresh->properties().description;
    image_ = std::make_shared<Image>(std::move(fresh));
    spec_ = std::move(spec);
    note({}, nullptr);
    properties_.size = image_->disk->properties().size;
    changed_.notify();
    if (on_change_) on_change_(true);
}

}  // namespace asyncvm
