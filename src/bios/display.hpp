/// INT 10h: a screen of 80 columns and 25 rows, on a terminal at the other end of a serial line. Pure.
#pragma once

#include <asyncvm/guest_memory.hpp>

#include <cstdint>
#include <string>

#include "boot/bios_stub.hpp"

namespace asyncvm::bios {

/// Text that a program writes goes out as it is. Only a program that moves the cursor gets a terminal's control sequences:
/// one that prints line by line is readable in a file.
class Display {
public:
    /// Appends to `output`.
    void call(boot::BiosFrame& frame, const GuestMemory& memory, std::string& output);

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("row", wanted_.row, 24);
        archive.field("column", wanted_.column, 79);
        archive.field("shown_row", shown_.row, 24);
        archive.field("shown_column", shown_.column, 79);
    }

private:
    struct Position {
        std::uint8_t row = 0;
        std::uint8_t column = 0;
        bool operator==(const Position&) const = default;
    };

    void put(std::uint8_t character, std::string& output);
    void move(unsigned row, unsigned column) noexcept;
    void repeat(const boot::BiosFrame& frame, std::string& output);
    void write_string(const boot::BiosFrame& frame, const GuestMemory& memory, std::string& output);
    void clear(std::string& output);

    Position wanted_;  ///< the program's cursor
    Position shown_;   ///< the terminal's
};

}  // namespace asyncvm::bios
