/// The registers of the virtio-mmio transport, version 2 (virtio 1.2, 4.2.2). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "virtio/device_state.hpp"

namespace asyncvm::virtio {

class MmioRegisters {
public:
    // Offsets. All registers have 4 bytes.
    static constexpr unsigned magic = 0x000;
    static constexpr unsigned version = 0x004;
    static constexpr unsigned device_id = 0x008;
    static constexpr unsigned vendor_id = 0x00c;
    static constexpr unsigned device_features = 0x010;
    static constexpr unsigned device_features_select = 0x014;
    static constexpr unsigned driver_features = 0x020;
    static constexpr unsigned driver_features_select = 0x024;
    static constexpr unsigned queue_select = 0x030;
    static constexpr unsigned queue_size_max = 0x034;
    static constexpr unsigned queue_size = 0x038;
    static constexpr unsigned queue_ready = 0x044;
    static constexpr unsigned queue_notify = 0x050;
    static constexpr unsigned interrupt_status = 0x060;
    static constexpr unsigned interrupt_acknowledge = 0x064;
    static constexpr unsigned status = 0x070;
    static constexpr unsigned queue_descriptors = 0x080;  ///< low half, the high one follows; as the next two
    static constexpr unsigned queue_available = 0x090;
    static constexpr unsigned queue_used = 0x0a0;
    static constexpr unsigned shared_memory_select = 0x0ac;
    static constexpr unsigned shared_memory = 0x0b0;  ///< length and base, 8 bytes each
    static constexpr unsigned queue_reset = 0x0c0;
    static constexpr unsigned config_generation = 0x0fc;
    static constexpr unsigned config = 0x100;

    static constexpr DeviceState::AddressRegisters queue_addresses{queue_descriptors, queue_available, queue_used};

    static constexpr std::uint32_t magic_value = 0x7472'6976;  ///< "virt"
    static constexpr std::uint32_t vendor = 0x4d56'5341;       ///< "ASVM"

    /// What the driver reads at `offset`, which is below `config`. Registers that are written only read as 0, as does an
    /// access that is not 4 bytes or not aligned.
    [[nodiscard]] static std::uint32_t read(const DeviceState& state, std::uint32_t id, unsigned offset,
                                            unsigned size) noexcept;

    /// A write there, but for queue_notify. What it asks for beyond the registers is returned.
    [[nodiscard]] static DeviceState::Request write(DeviceState& state, unsigned offset, unsigned size,
                                                    std::uint32_t value) noexcept;

    /// The bytes of `space` from `offset` on, little-endian; behind its end 0. `size` is 1, 2 or 4.
    [[nodiscard]] static std::uint32_t read_config(std::span<const std::byte> space, std::size_t offset,
                                                   unsigned size) noexcept;
};

}  // namespace asyncvm::virtio
