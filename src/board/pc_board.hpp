/// What is on the pc machine's board, as one table: the devices are attached and the DSDT is written from it. Pure.
#pragma once

#include <asyncvm/board.hpp>
#include <asyncvm/bus.hpp>

#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "board/acpi.hpp"

namespace asyncvm::board {

/// A device of the board.
struct Row {
    std::string_view kind;                  ///< as `--device` names it
    std::optional<unsigned> irq{};          ///< the ISA interrupt that it is connected to by default
    std::string_view acpi_name{};           ///< in the DSDT; empty: it is not there
    std::string_view hardware_id{};         ///< for ACPI
    std::span<const AddressRange> ports{};  ///< empty: those that its kind in the catalogue has by default
    /// For a device that has to know the machine; null: as its kind makes it.
    std::shared_ptr<Device> (*make)(const PcDescription& description) = nullptr;
};

[[nodiscard]] std::span<const Row> pc_rows() noexcept;
[[nodiscard]] std::span<const AddressRange> ports_of(const Row& row);

/// Whether the machine has a device of this kind. Throws nothing for names that the board does not have.
[[nodiscard]] bool has_device(const PcDescription& description, std::string_view kind) noexcept;

/// What the tables say of such a machine. Throws Error(usage) for numbers that are out of their range.
[[nodiscard]] AcpiDescription describe(const PcDescription& description);

}  // namespace asyncvm::board
