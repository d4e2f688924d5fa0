/// A device whose registers are in another process.
#pragma once

#include <asyncvm/device_context.hpp>
#include <asyncvm/event.hpp>
#include <asyncvm/irq_line.hpp>
#include <asyncvm/remote.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "remote/link.hpp"
#include "remote/place.hpp"
#include "remote/poll_set.hpp"

namespace asyncvm::remote {

/// Accesses send their command on the vCPU's thread and wait there for a moment, and then suspended. run() keeps the
/// connection: one after the other, each a Link.
class Proxy final : public RemoteDevice {
public:
    Proxy(RemoteSpec spec, Log log);

    /// "remote", and then the name that the first process has said.
    [[nodiscard]] std::string_view name() const noexcept override;
    void attached(const DeviceContext& context) override;
    [[nodiscard]] bool concurrent() const noexcept override { return true; }
    [[nodiscard]] awaitable<void> write(const Access& access) override;
    [[nodiscard]] awaitable<void> read(Access& access) override;
    [[nodiscard]] awaitable<void> write_string(const Access& first, std::span<const std::byte> data) override;
    [[nodiscard]] awaitable<void> read_string(const Access& first, std::span<std::byte> data) override;
    [[nodiscard]] bool posts(std::uint64_t offset) const noexcept override;
    [[nodiscard]] awaitable<void> ready(asio::io_context& loop) override;
    [[nodiscard]] awaitable<void> run() override;
    [[nodiscard]] awaitable<void> before_reset() override;
    void save(StateWriter& writer) override;
    void restore(StateReader& reader) override;

private:
    using Clock = std::chrono::steady_clock;

    // On the thread of the vCPU.
    [[nodiscard]] RegionAccess region_of(const Access& access) const noexcept;
    [[nodiscard]] awaitable<void> exchange(RegionAccess access, bool write, std::span<std::byte> data, std::uint64_t value);
    [[nodiscard]] awaitable<void> exchange_string(RegionAccess access, bool write, std::span<std::byte> data);
    enum class Presence : std::uint8_t {
        absent,  ///< reads are all-ones, and writes vanish
        coming,  ///< an access waits
        there,
    };
    [[nodiscard]] Presence look(std::shared_ptr<Link>& link) const;
    [[nodiscard]] std::shared_ptr<Link> link() const;

    // Device loop.
    [[nodiscard]] awaitable<void> meet(asio::io_context& loop, PollSet::Waiter& waiter);
    [[nodiscard]] awaitable<void> meet_again(PollSet::Waiter& waiter);
    [[nodiscard]] awaitable<std::string> try_to_meet(asio::io_context& loop, PollSet::Waiter& waiter, bool& reached);
    [[nodiscard]] awaitable<void> live(PollSet::Waiter& waiter);
    [[nodiscard]] awaitable<void> serve(std::shared_ptr<Link> link, PollSet::Waiter& waiter);
    void publish(std::shared_ptr<Link> link, bool over);
    void report_end(const Link& link) const;
    [[nodiscard]] Machinery machinery();
    void name_after(const std::string& name);
    void lower_lines();
    void log(std::string_view text) const;

    const RemoteSpec spec_;
    const Log log_;
    const std::vector<Region> regions_;
    const std::shared_ptr<const PollSet> set_;
    const std::shared_ptr<Event> changed_ = std::make_shared<Event>();
    std::optional<DeviceContext> context_;
    Place place_;
    std::string full_name_ = "remote";
    std::atomic<bool> named_ = false;  ///< full_name_ is not changed any more
    std::string peer_;                 ///< the name that the process of this connection has said
    mutable std::mutex mutex_;
    std::shared_ptr<Link> link_;
    bool settled_ = false;  ///< the first connection has ended, or there will be none
    bool over_ = false;     ///< there will be no further one
    std::mutex lines_mutex_;
    std::vector<IrqLine> lines_;
};

}  // namespace asyncvm::remote
