/// The text screen of a PC, which lies in the guest's memory whether there is a display or not: the last words of many
/// kernels are there, and nowhere else.
#pragma once

#include <asyncvm/guest_memory.hpp>

#include <cstdint>
#include <string>

namespace asyncvm {

inline constexpr std::uint64_t text_screen_address = 0xb'8000;

/// The lines of the colour text screen, 80 by 25, up to the last that is not blank, each behind `  | `; empty if the memory
/// does not look like one: all cells have a character and, unless it is blank, a colour, and there is a word of letters.
/// Characters that are not ASCII are shown as `?`. Any thread, while the guest does not run: or what it writes is torn.
[[nodiscard]] std::string read_text_screen(const GuestMemory& memory);

}  // namespace asyncvm
