/// The registers of the virtio-pci transport (virtio 1.2, 4.1.4.3) and where they are in its BAR. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "virtio/device_state.hpp"

namespace asyncvm::virtio {

/// Which MSI-X vectors a driver wants for what.
class PciVectors {
public:
    static constexpr std::uint16_t none = 0xffff;

    PciVectors() = default;
    PciVectors(std::size_t queues, unsigned vectors) : vectors_(vectors), queues_(queues, none) {}

    [[nodiscard]] std::uint16_t config() const noexcept { return config_; }
    void set_config(std::uint32_t vector) noexcept { config_ = checked(vector); }
    /// `none` for a queue that there is not.
    [[nodiscard]] std::uint16_t queue(std::size_t index) const noexcept {
        return index < queues_.size() ? queues_[index] : none;
    }
    void set_queue(std::size_t index, std::uint32_t vector) noexcept {
        if (index < queues_.size()) queues_[index] = checked(vector);
    }
    /// The driver has reset the device.
    void reset() noexcept { *this = PciVectors(queues_.size(), vectors_); }

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("of the configuration", config_);
        archive.field("of queues", queues_);
    }
    /// Whether a restored object is one that `own` can be.
    [[nodiscard]] bool fits(const PciVectors& own) const noexcept;

private:
    /// A vector that there is not reads back as none: so the driver learns that it can't have it.
    [[nodiscard]] std::uint16_t checked(std::uint32_t vector) const noexcept {
        return vector < vectors_ ? static_cast<std::uint16_t>(vector) : none;
    }

    unsigned vectors_ = 0;
    std::uint16_t config_ = none;
    std::vector<std::uint16_t> queues_;
};

class PciRegisters {
public:
    // The common configuration: offsets, and bytes where they are not 4.
    static constexpr unsigned device_features_select = 0x00;
    static constexpr unsigned device_features = 0x04;
    static constexpr unsigned driver_features_select = 0x08;
    static constexpr unsigned driver_features = 0x0c;
    static constexpr unsigned config_vector = 0x10;      ///< 2
    static constexpr unsigned queues = 0x12;             ///< 2
    static constexpr unsigned status = 0x14;             ///< 1
    static constexpr unsigned config_generation = 0x15;  ///< 1
    static constexpr unsigned queue_select = 0x16;       ///< 2
    static constexpr unsigned queue_size = 0x18;         ///< 2
    static constexpr unsigned queue_vector = 0x1a;       ///< 2
    static constexpr unsigned queue_enable = 0x1c;       ///< 2
    static constexpr unsigned queue_notify_off = 0x1e;   ///< 2
    static constexpr unsigned queue_descriptors = 0x20;  ///< 8, in halves; as the next two
    static constexpr unsigned queue_available = 0x28;
    static constexpr unsigned queue_used = 0x30;
    static constexpr unsigned queue_notify_data = 0x38;  ///< 2
    static constexpr unsigned queue_reset = 0x3a;        ///< 2
    static constexpr unsigned common_size = 0x3c;

    static constexpr DeviceState::AddressRegisters queue_addresses{queue_descriptors, queue_available, queue_used};

    // The BAR: offset and size of each part. What a driver maps alone is a page alone.
    static constexpr unsigned common = 0x0000;
    static constexpr unsigned isr = 0x1000;
    static constexpr unsigned config = 0x2000;
    static constexpr unsigned notify = 0x3000;
    static constexpr unsigned msix_table = 0x4000;
    static constexpr unsigned msix_pending = 0x5000;
    static constexpr unsigned part_size = 0x1000;
    static constexpr unsigned bar_size = 0x8000;
    static constexpr unsigned notify_multiplier = 4;  ///< bytes from a queue's doorbell to the next
    static constexpr unsigned most_vectors = 256;

    /// What the driver reads there: any 1, 2 or 4 bytes of a register.
    [[nodiscard]] static std::uint32_t read(const DeviceState& state, const PciVectors& vectors, unsigned offset,
                                            unsigned size) noexcept;

    /// A write of a whole register, or of half of one with 8 bytes; others change nothing. What it asks for beyond the
    /// registers is returned.
    [[nodiscard]] static DeviceState::Request write(DeviceState& state, PciVectors& vectors, unsigned offset, unsigned size,
                                                    std::uint32_t value) noexcept;
};

}  // namespace asyncvm::virtio
