/// A virtio device whose rings a back end serves, and that outlives its back ends.
#pragma once

#include <asyncvm/vhost_user.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "os/unique_fd.hpp"
#include "socket/watched.hpp"
#include "vhost/channel.hpp"
#include "vhost/kind.hpp"
#include "virtio/jobs.hpp"

namespace asyncvm::vhost {

/// The driver's side says which rings it wants served (Ring::wanted); run() compares that with what the back end has
/// (Ring::served) and sends one message after the other until both agree. So a ring that the driver takes back while it is
/// handed over, a back end that dies at any message, and one that comes back, all are the same path.
class VhostUserDevice final : public virtio::Device {
public:
    /// `socket` is connected to a back end that has said of itself what `back_end` has.
    VhostUserDevice(Kind kind, VhostUserEnvironment environment, BackEnd back_end, UniqueFd socket);

    [[nodiscard]] std::string_view name() const noexcept override { return kind_.name(); }
    [[nodiscard]] std::uint32_t id() const noexcept override { return kind_.id(); }
    [[nodiscard]] std::uint64_t features() const override { return kind_.features(back_end_); }
    [[nodiscard]] std::uint64_t refused_features() const override { return kind_.refused_features(back_end_); }
    [[nodiscard]] std::vector<virtio::QueueShape> queues() const override { return kind_.queues(back_end_); }
    [[nodiscard]] std::vector<std::byte> config() const override { return kind_.config(back_end_, is_connected()); }
    void attached(const DeviceContext& context) override;

    [[nodiscard]] awaitable<void> serve(virtio::Queue&) override { co_return; }
    [[nodiscard]] bool hands_rings_over() const noexcept override { return true; }
    void take_ring(const virtio::RingSetup& ring) override;
    [[nodiscard]] awaitable<void> return_ring(unsigned queue) override;
    [[nodiscard]] int notification(unsigned queue) const noexcept override { return rings_[queue].kick.get(); }
    [[nodiscard]] int call(unsigned queue) const noexcept override { return rings_[queue].call.get(); }

    [[nodiscard]] awaitable<void> run() override;
    void reset() override;
    void save(StateWriter& writer) override;
    void restore(StateReader& reader) override;

private:
    class Watching;
    struct Ring {
        UniqueFd kick;                 ///< eventfd of the driver's notifications
        UniqueFd call;                 ///< eventfd of the back end's
        std::optional<Watched> calls;  ///< the same, while run() hears those that the interrupt controller does not get
        std::optional<virtio::RingSetup> wanted{};
        bool served = false;  ///< the back end may have it
        bool begun = false;   ///< a back end may have served it since the driver set it up
        bool lost = false;    ///< no back end can go on with it
    };
    struct Inflight {
        InflightArea area;
        UniqueFd memory;
    };

    [[nodiscard]] bool is_connected() const noexcept { return !running_ || (channel_ && channel_->is_open()); }
    [[nodiscard]] bool has_record() const noexcept { return inflight_ && (back_end_.protocol & protocol_inflight) != 0; }
    [[nodiscard]] awaitable<void> agree();
    [[nodiscard]] awaitable<bool> take_a_step();
    [[nodiscard]] awaitable<std::string> tell(Message message);
    [[nodiscard]] awaitable<std::string> tell_memory();
    [[nodiscard]] awaitable<std::string> tell_inflight();
    [[nodiscard]] awaitable<std::string> start_ring(unsigned index);
    [[nodiscard]] awaitable<void> stop_ring(unsigned index);
    [[nodiscard]] awaitable<void> connect_again();
    [[nodiscard]] awaitable<void> hear_calls(unsigned index);
    void tell_driver();
    void log(std::string_view text) const;

    const Kind kind_;
    const VhostUserEnvironment environment_;
    BackEnd back_end_;
    UniqueFd socket_;  ///< until run()
    std::optional<DeviceContext> context_;
    const std::shared_ptr<Event> changed_ = std::make_shared<Event>();
    std::vector<Ring> rings_;
    std::shared_ptr<Channel> channel_;
    std::vector<std::byte> told_config_;  ///< the configuration space that the driver knows of
    bool running_ = false;
    bool ended_ = false;
    bool knows_memory_ = false;                   ///< the back end
    std::optional<std::uint64_t> told_features_;  ///< it knows
    bool knows_inflight_ = false;
    std::optional<Inflight> inflight_;
};

}  // namespace asyncvm::vhost
