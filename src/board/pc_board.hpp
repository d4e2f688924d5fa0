/// What is on the pc machine's board, as one table: the devices are attached and the DSDT is written from it. Pure.
#pragma once

#include <asyncvm/board.hpp>
#include <asyncvm/bus.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "board/acpi.hpp"

namespace asyncvm::board {

/// A device's options, as `--device` has them: keys and values.
using Options = std::vector<std::pair<std::string, std::string>>;

/// A device of the board.
struct Row {
    std::string_view kind;                  ///< as `--device` names it
    std::optional<unsigned> irq{};          ///< the ISA interrupt that it is connected to by default
    std::string_view acpi_name{};           ///< in the DSDT; empty: it is not there
    std::string_view hardware_id{};         ///< for ACPI
    std::span<const AddressRange> ports{};  ///< empty: those that its kind in the catalogue has by default
    /// What the device has to know of the machine; null: nothing.
    Options (*options)(const PcDescription& description) = nullptr;
};

[[nodiscard]] std::span<const Row> pc_rows() noexcept;

/// Whether the machine has a device of this kind. Throws nothing for names that the board does not have.
[[nodiscard]] bool has_device(const PcDescription& description, std::string_view kind) noexcept;

/// What the tables say of such a machine. Throws Error(usage) for numbers that are out of their range.
[[nodiscard]] AcpiDescription describe(const PcDescription& description);

}  // namespace asyncvm::board
