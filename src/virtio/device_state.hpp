/// What both transports of a virtio device show to its driver: status, features, queues, interrupts (virtio 1.2, chapter 2
/// and 3.1). Pure: no threads, no I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "virtio/mistake.hpp"

namespace asyncvm::virtio {

class DeviceState {
public:
    // The status (2.1).
    static constexpr std::uint8_t acknowledge = 1;
    static constexpr std::uint8_t driver = 2;
    static constexpr std::uint8_t driver_ok = 4;
    static constexpr std::uint8_t features_ok = 8;
    static constexpr std::uint8_t needs_reset_bit = 64;
    static constexpr std::uint8_t failed = 128;
    // Causes of an interrupt (4.2.2).
    static constexpr std::uint8_t used_buffer = 1;
    static constexpr std::uint8_t config_change = 2;

    static constexpr unsigned state_version = 1;

    /// A queue as the driver has set it up.
    struct QueueSetup {
        std::uint16_t largest = 0;  ///< the device's
        std::uint16_t size = 0;
        bool ready = false;
        std::uint64_t descriptors = 0;
        std::uint64_t available = 0;
        std::uint64_t used = 0;

        template <class Archive>
        void fields(Archive& archive) {
            archive.field("size", size);
            archive.field("ready", ready);
            archive.field("descriptors", descriptors);
            archive.field("available", available);
            archive.field("used", used);
        }
    };

    /// Half of one of a queue's addresses: what a register of 4 bytes holds.
    struct AddressHalf {
        std::uint64_t QueueSetup::*address = nullptr;
        bool high = false;

        [[nodiscard]] std::uint32_t of(const QueueSetup& queue) const noexcept {
            return static_cast<std::uint32_t>(high ? queue.*address >> 32 : queue.*address);
        }
    };

    /// Where a transport has the low halves of a queue's addresses; each high one follows, 4 bytes behind.
    struct AddressRegisters {
        unsigned descriptors;
        unsigned available;
        unsigned used;

        /// What the register at `offset` is of, if it is one of these.
        [[nodiscard]] constexpr std::optional<AddressHalf> at(unsigned offset) const noexcept {
            for (const auto& [low, address] :
                 {std::pair(descriptors, &QueueSetup::descriptors), std::pair(available, &QueueSetup::available),
                  std::pair(used, &QueueSetup::used)}) {
                if (offset == low || offset == low + 4) return AddressHalf{address, offset != low};
            }
            return std::nullopt;
        }
    };

    /// What a write of the driver asks for that is more than a register.
    struct Request {
        enum class Kind : std::uint8_t {
            none,
            reset,        ///< of the device: call reset() when nothing is under way any more
            start,        ///< the driver is ready: the queues may be served
            start_queue,  ///< `queue` has been made ready after that
            stop_queue,   ///< `queue` is not ready any more
            reset_queue,  ///< call reset_queue() when nothing of `queue` is under way any more
            notify,       ///< `queue` by a write that is no doorbell
            mistake,      ///< `mistake`: call fail()
        };
        Kind kind = Kind::none;
        unsigned queue = 0;
        Mistake mistake = Mistake::none;
    };

    DeviceState() = default;
    /// `features`: all that the device offers. `largest`: of each queue, its largest size.
    DeviceState(std::uint64_t features, std::span<const std::uint16_t> largest);

    [[nodiscard]] std::uint8_t status() const noexcept { return status_; }
    [[nodiscard]] Request write_status(std::uint8_t value) noexcept;
    [[nodiscard]] bool running() const noexcept { return (status_ & driver_ok) != 0; }

    /// Half of the features: 0 the low ones, 1 the high ones; others are 0.
    void select_offered(std::uint32_t half) noexcept { offered_half_ = half; }
    [[nodiscard]] std::uint32_t offered_half() const noexcept { return offered_half_; }
    [[nodiscard]] std::uint32_t offered() const noexcept;
    void select_accepted(std::uint32_t half) noexcept { accepted_half_ = half; }
    [[nodiscard]] std::uint32_t accepted_half() const noexcept { return accepted_half_; }
    /// What the driver has written last of the selected half.
    [[nodiscard]] std::uint32_t accepted() const noexcept;
    /// No effect after FEATURES_OK.
    void accept(std::uint32_t features) noexcept;
    /// All features that the driver has accepted; none before FEATURES_OK.
    [[nodiscard]] std::uint64_t negotiated() const noexcept;

    void select_queue(std::uint32_t index) noexcept { selected_ = index; }
    [[nodiscard]] std::uint32_t selected_index() const noexcept { return selected_; }
    [[nodiscard]] std::size_t queues() const noexcept { return queues_.size(); }
    [[nodiscard]] const QueueSetup& queue(std::size_t index) const noexcept { return queues_[index]; }
    /// The selected one, or null if there is no such queue.
    [[nodiscard]] const QueueSetup* selected() const noexcept;

    // Of the selected queue. Without effect if there is none, or if it is ready.
    void set_queue_size(std::uint32_t size) noexcept;
    void set_queue_address(AddressHalf half, std::uint32_t value) noexcept;
    [[nodiscard]] Request write_queue_ready(bool ready) noexcept;
    [[nodiscard]] Request write_queue_reset() noexcept;

    [[nodiscard]] std::uint8_t interrupts() const noexcept { return interrupts_; }
    void raise(std::uint8_t cause) noexcept { interrupts_ |= cause; }
    void acknowledge_interrupts(std::uint8_t causes) noexcept { interrupts_ &= static_cast<std::uint8_t>(~causes); }

    /// Changes with each change of the configuration space by the device.
    [[nodiscard]] std::uint32_t generation() const noexcept { return generation_; }
    /// The configuration space has changed: the driver is told if it is there.
    void config_changed() noexcept;

    /// The device needs a reset. Returns whether this is new.
    bool fail() noexcept;

    /// After power-on.
    void reset() noexcept;
    void reset_queue(std::size_t index) noexcept;

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("status", status_, all_status);
        archive.field("accepted", accepted_);
        archive.field("offered half", offered_half_);
        archive.field("accepted half", accepted_half_);
        archive.field("selected queue", selected_);
        archive.field("interrupts", interrupts_, used_buffer | config_change);
        archive.field("generation", generation_);
        archive.field("queues", queues_);
    }

    /// Whether a restored state is one that `device` can have.
    [[nodiscard]] bool fits(const DeviceState& device) const noexcept;
    /// Takes over what is not saved from `device`, which it fits.
    void adopt(const DeviceState& device) noexcept;

private:
    static constexpr std::uint8_t all_status = acknowledge | driver | driver_ok | features_ok | needs_reset_bit | failed;

    [[nodiscard]] bool acceptable() const noexcept;
    [[nodiscard]] QueueSetup* changeable() noexcept;

    std::uint64_t offered_ = 0;
    std::uint64_t accepted_ = 0;
    std::uint32_t offered_half_ = 0;
    std::uint32_t accepted_half_ = 0;
    std::uint8_t status_ = 0;
    std::uint8_t interrupts_ = 0;
    std::uint32_t generation_ = 0;
    std::uint32_t selected_ = 0;
    std::vector<QueueSetup> queues_;
};

}  // namespace asyncvm::virtio
