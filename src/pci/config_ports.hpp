/// The registers at ports 0xcf8 to 0xcff: the address of configuration mechanism 1, and the reset control among them. Pure.
#pragma once

#include <cstdint>
#include <utility>

namespace asyncvm::pci {

/// Sources: PCI Local Bus specification 3.0, 3.2.2.3.2 (CONFIG_ADDRESS takes 32-bit accesses only, narrower ones pass to
/// what else is there); Intel 82371AB (PIIX4) data sheet, 4.1.6 (reset control, 8 bits at 0xcf9).
class ConfigPorts {
public:
    // Offsets.
    static constexpr unsigned address = 0;        ///< 0xcf8
    static constexpr unsigned reset_control = 1;  ///< 0xcf9
    static constexpr unsigned data = 4;           ///< 0xcfc to 0xcff

    static constexpr std::uint32_t enabled = std::uint32_t{1} << 31;
    static constexpr std::uint32_t address_bits = 0x80ff'fffc;  ///< the others are reserved
    static constexpr std::uint8_t reset_cpu = 1 << 2;           ///< resets when it rises
    static constexpr std::uint8_t reset_bits = 0x0e;            ///< 1: hard instead of soft, 3: power cycle
    static constexpr unsigned state_version = 1;

    [[nodiscard]] std::uint32_t config_address() const noexcept { return address_; }
    [[nodiscard]] std::uint8_t read_reset_control() const noexcept { return reset_control_; }

    /// A write at `offset`, which may be any. Returns whether it resets the machine.
    [[nodiscard]] bool write(unsigned offset, unsigned size, std::uint32_t value) noexcept {
        if (offset == address && size == 4) address_ = value & address_bits;
        if (offset != reset_control || size != 1) return false;
        const auto before = std::exchange(reset_control_, static_cast<std::uint8_t>(value & reset_bits));
        return (reset_control_ & ~before & reset_cpu) != 0;
    }

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("address", address_);
        archive.field("reset control", reset_control_, reset_bits);
    }

private:
    std::uint32_t address_ = 0;
    std::uint8_t reset_control_ = 0;
};

}  // namespace asyncvm::pci
