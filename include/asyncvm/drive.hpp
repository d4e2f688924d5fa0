/// A disk that becomes larger, smaller or another one while a machine uses it.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/block.hpp>
#include <asyncvm/event.hpp>
#include <asyncvm/log.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

namespace asyncvm {

/// What a drive has done since it was made. Requests that it has refused, which are wrong or write to a disk that is read
/// only, do not count.
struct DriveCounts {
    struct Kind {
        std::uint64_t done = 0;    ///< requests
        std::uint64_t failed = 0;  ///< requests that ended with an error of the host; not in `done`
        std::uint64_t bytes = 0;   ///< of those that are done
        std::chrono::nanoseconds
            time{};  ///< until they were done or had failed, as a sum; not what they waited for a change
    };
    Kind read;
    Kind write;  ///< writes of zeros, too
    Kind flush;
    Kind discard;
    std::uint64_t written_end = 0;  ///< byte behind the last one on the disk that was written
};

/// What the guest's disk is in: an image, which can be changed. Everything on the device loop's thread, or before it runs.
///
/// During a change the guest's requests wait, and those that are under way end first. Block size and whether the guest can
/// write stay as they were at first, because a driver asks for them once.
class Drive final : public BlockBackend {
public:
    /// What is under way has so much time to end before a change is given up.
    static constexpr std::chrono::steady_clock::duration usual_patience = std::chrono::seconds(10);

    /// As open_disk().
    Drive(DiskSpec spec, asio::io_context& loop, Log log);
    /// `image` is not null, and is what `spec` says.
    Drive(DiskSpec spec, std::shared_ptr<BlockBackend> image, asio::io_context& loop, Log log,
          std::chrono::steady_clock::duration patience = usual_patience);

    [[nodiscard]] const BlockProperties& properties() const noexcept override { return properties_; }
    [[nodiscard]] awaitable<std::error_code> read(std::uint64_t offset, ReadSpans to) override;
    [[nodiscard]] awaitable<std::error_code> write(std::uint64_t offset, WriteSpans from) override;
    [[nodiscard]] awaitable<std::error_code> flush() override;
    [[nodiscard]] awaitable<std::error_code> discard(std::uint64_t offset, std::uint64_t size) override;
    [[nodiscard]] awaitable<std::error_code> write_zeroes(std::uint64_t offset, std::uint64_t size, bool may_unmap) override;
    [[nodiscard]] std::optional<std::uint64_t> allocated() const override { return image_->disk->allocated(); }
    [[nodiscard]] Event* changed() noexcept override { return &changed_; }

    /// Throws Error(host) for a disk that is read-only, a size of 0 or that is no multiple of the block size, what the image
    /// throws, and if a request does not end in time. Nothing has changed then. The drive lives until it completes.
    [[nodiscard]] awaitable<void> resize(std::uint64_t size) override;

    /// Another image: opened and locked first, then the old one is flushed and closed. `spec` is spec() with another
    /// source. Throws Error for an image that can't be opened or does not fit the guest, and if the old one can't be flushed
    /// or has a request that does not end in time. Nothing has changed then. With `force` the last two do not matter: what
    /// is under way stays with the old image. The drive lives until it completes.
    [[nodiscard]] awaitable<void> change(DiskSpec spec, bool force);

    /// What the image is.
    [[nodiscard]] const DiskSpec& spec() const noexcept { return spec_; }
    [[nodiscard]] const DriveCounts& counts() const noexcept { return counts_; }

    /// What a request of the image that is there has failed with, until one of the same kind has not.
    [[nodiscard]] std::error_code error() const noexcept { return error_; }
    /// Called when a request has failed. `writes`: all but a read.
    using OnError = std::function<void(bool writes, std::error_code error)>;
    void on_error(OnError call) { on_error_ = std::move(call); }
    /// Called when it has another size, or `exchanged`: another image.
    using OnChange = std::function<void(bool exchanged)>;
    void on_change(OnChange call) { on_change_ = std::move(call); }

private:
    /// Shared with the requests that are under way there.
    struct Image {
        explicit Image(std::shared_ptr<BlockBackend> of) : disk(std::move(of)) {}
        const std::shared_ptr<BlockBackend> disk;
        unsigned under_way = 0;
        bool awaited = false;  ///< somebody waits for `idle`
        std::error_code flush_error{};
        Event idle{};  ///< nothing is under way
    };
    class Change;
    class Hold;
    class UnderWay;

    [[nodiscard]] awaitable<void> change_to_end();
    [[nodiscard]] awaitable<bool> become_idle() const;
    static awaitable<void> flush_image(std::shared_ptr<Hold> hold);
    [[nodiscard]] awaitable<std::error_code> flush_in_time();
    [[nodiscard]] Error busy() const;
    void note(std::error_code error, const DriveCounts::Kind* of) noexcept;
    void check_fits(const DiskSpec& spec) const;
    void check_fits(const DiskSpec& spec, const BlockProperties& fresh) const;

    asio::io_context& loop_;
    const Log log_;
    const std::chrono::steady_clock::duration patience_;
    DiskSpec spec_;
    std::shared_ptr<Image> image_;
    BlockProperties properties_;
    DriveCounts counts_;
    std::error_code error_;
    const DriveCounts::Kind* error_of_ = nullptr;  ///< the kind of request that error_ is of
    OnError on_error_;
    OnChange on_change_;

    bool changing_ = false;  ///< another change has to wait
    bool held_ = false;      ///< requests have to wait
    Event change_ended_;
    Event changed_;
};

}  // namespace asyncvm
