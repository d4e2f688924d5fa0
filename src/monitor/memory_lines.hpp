/// The lines about memory and values: x, xp, print, gva2gpa. Pure.
#pragma once

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/registers.hpp>

#include <string>
#include <string_view>

namespace asyncvm::monitor {

/// What is looked at, and what stands behind the command.
struct MemoryLine {
    const GuestMemory& memory;
    const Registers& registers;
    std::string_view words;
};

// All of them throw HumanError.

/// "/FMT ADDRESS": memory as numbers or instructions.
[[nodiscard]] std::string linear_memory_text(const MemoryLine& line);
[[nodiscard]] std::string physical_memory_text(const MemoryLine& line);
/// "/FMT EXPRESSION": its value.
[[nodiscard]] std::string value_text(const MemoryLine& line);
/// "ADDRESS": where it leads to.
[[nodiscard]] std::string guest_physical_text(const MemoryLine& line);

}  // namespace asyncvm::monitor
