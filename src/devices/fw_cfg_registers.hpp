/// QEMU's firmware configuration interface as a pure state machine: no threads, no I/O.
#pragma once

#include <asyncvm/devices.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace asyncvm {

/// Source: QEMU, docs/specs/fw_cfg.rst. The guest selects an item by its key and reads it byte by byte; behind its end, and
/// for a key that is none, there are zeros. Without the DMA interface.
class FwCfgRegisters {
public:
    enum Key : std::uint16_t {
        signature = 0x00,
        id = 0x01,
        ram_size = 0x03,
        cpus = 0x05,
        most_cpus = 0x0f,
        directory = 0x19,
        first_file = 0x20,
    };
    static constexpr std::uint16_t key_bits = 0xbfff;  ///< bit 14 once meant a write; it is ignored
    static constexpr std::size_t longest_name = 55;    ///< a name ends with a 0 in its 56 bytes
    static constexpr unsigned state_version = 1;

    FwCfgRegisters() = default;

    /// Throws Error(usage) for a file whose name is empty, too long or there already, and for too many files or bytes.
    FwCfgRegisters(std::uint64_t memory, unsigned processors, std::vector<FwCfgFile> files);

    void select(std::uint16_t key) noexcept;

    /// The next bytes of the selected item.
    void read(std::span<std::byte> bytes) noexcept;

    /// Nothing is selected: the signature is.
    void reset() noexcept { select(signature); }

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("key", key_);
        archive.field("position", position_);
    }

private:
    std::map<std::uint16_t, std::vector<std::byte>> items_;  ///< not the guest's to change
    std::uint16_t key_ = signature;
    std::uint64_t position_ = 0;
};

}  // namespace asyncvm
