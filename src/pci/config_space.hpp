/// The configuration space of a PCI function (PCI Local Bus specification 3.0, chapter 6): which bytes it has, which of them
/// can be written, and where its BARs are. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace asyncvm::pci {

class ConfigSpace {
public:
    static constexpr unsigned size = 256;
    // Offsets in the header of type 0.
    static constexpr unsigned vendor_id = 0x00;
    static constexpr unsigned command = 0x04;
    static constexpr unsigned status = 0x06;
    static constexpr unsigned class_revision = 0x08;
    static constexpr unsigned first_bar = 0x10;
    static constexpr unsigned subsystem_vendor_id = 0x2c;
    static constexpr unsigned capabilities_pointer = 0x34;
    static constexpr unsigned interrupt_line = 0x3c;
    static constexpr unsigned interrupt_pin = 0x3d;
    // Bits of the command register, and of the status.
    static constexpr std::uint16_t memory_space = 1 << 1;
    static constexpr std::uint16_t bus_master = 1 << 2;
    static constexpr std::uint16_t interrupt_disable = 1 << 10;
    static constexpr std::uint16_t interrupt_status = 1 << 3;
    static constexpr std::uint16_t has_capabilities = 1 << 4;

    static constexpr unsigned bars = 6;

    struct Identity {
        std::uint16_t vendor = 0;
        std::uint16_t device = 0;
        std::uint8_t revision = 0;
        std::uint32_t class_code = 0;  ///< class, subclass and interface: 0x060000
        std::uint16_t subsystem_vendor = 0;
        std::uint16_t subsystem = 0;
    };

    ConfigSpace() = default;
    explicit ConfigSpace(const Identity& identity);

    // How the function is made.
    /// BAR `index`, 0 to 5, is for `bytes` of memory, a power of two from 16 on, and has 32 bits.
    void add_memory_bar(unsigned index, std::uint32_t bytes);
    /// Interrupt INTA#, and what the line register says at the start.
    void add_interrupt(std::uint8_t line);
    /// `body` is what follows the capability's ID and its pointer to the next one; `writable` has a 1 for each bit of it
    /// that the guest can change, and may be shorter. Returns the offset of the ID. There has to be room.
    unsigned add_capability(std::uint8_t id, std::span<const std::byte> body, std::span<const std::byte> writable = {});

    /// `bytes` is 1, 2 or 4, `offset` a multiple of it and less than `size`.
    [[nodiscard]] std::uint32_t read(unsigned offset, unsigned bytes) const noexcept;
    /// As the guest writes: bits that can't be written stay.
    void write(unsigned offset, unsigned bytes, std::uint32_t value) noexcept;
    /// As the function itself writes: all bits.
    void set(unsigned offset, unsigned bytes, std::uint32_t value) noexcept;

    void show_interrupt(bool pending) noexcept;
    [[nodiscard]] bool interrupts_disabled() const noexcept { return (read(command, 2) & interrupt_disable) != 0; }

    /// Whether the function may read and write memory itself, and send messages.
    [[nodiscard]] bool is_bus_master() const noexcept { return (read(command, 2) & bus_master) != 0; }

    /// Where BAR `index` answers: nothing while the function decodes no memory, or if there is no such BAR.
    [[nodiscard]] std::optional<std::uint64_t> bar(unsigned index) const noexcept;

    static constexpr unsigned state_version = 1;
    template <class Archive>
    void fields(Archive& archive) {
        archive.field("bytes", bytes_);
    }
    /// After a restore: what can't be written is as `own` has it, which is of the same function.
    void adopt(const ConfigSpace& own) noexcept;

private:
    std::array<std::byte, size> bytes_{};
    std::array<std::byte, size> writable_{};
    unsigned last_capability_ = 0;  ///< 0: there is none
    unsigned capabilities_end_ = 0x40;
};

}  // namespace asyncvm::pci
