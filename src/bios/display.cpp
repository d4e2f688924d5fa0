#include "bios/display.hpp"

#include "bios/frame.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <span>

namespace asyncvm::bios {

namespace {

constexpr unsigned columns = 80;
constexpr unsigned rows = 25;

}  // namespace

void Display::call(boot::BiosFrame& frame, const GuestMemory& memory, std::string& output) {
    switch (high(frame.eax)) {
        case 0x00:  // set mode: the terminal has one
            if ((frame.eax & 0x80) == 0 && (shown_ != Position{} || wanted_ != Position{})) clear(output);
            break;
        case 0x02:
            move(high(frame.edx), low(frame.edx));
            break;
        case 0x03:
            set_word(frame.ecx, 0x0607);
            set_word(frame.edx, wanted_.row << 8U | wanted_.column);
            break;
        case 0x06:  // scroll a window up or down; 0 lines clear it
        case 0x07:
            if (low(frame.eax) == 0) clear(output);
            break;
        case 0x08:
            set_word(frame.eax, 0x0720);  // what was written is not kept: a space
            break;
        case 0x09:
        case 0x0a:
            repeat(frame, output);
            break;
        case 0x0e:
            put(low(frame.eax), output);
            break;
        case 0x0f:
            set_word(frame.eax, columns << 8 | 3);
            set_high(frame.ebx, 0);
            break;
        case 0x13:
            write_string(frame, memory, output);
            break;
        case 0x4f:
            set_word(frame.eax, 0x0100);  // VESA: the call failed
            break;
        default:
            break;
    }
}

void Display::put(std::uint8_t character, std::string& output) {
    if (wanted_ != shown_) fmt::format_to(std::back_inserter(output), "\x1b[{};{}H", wanted_.row + 1, wanted_.column + 1);
    output += static_cast<char>(character);
    switch (character) {
        case '\a':
            break;
        case '\b':
            if (wanted_.column > 0) --wanted_.column;
            break;
        case '\r':
            wanted_.column = 0;
            break;
        case '\n':
            wanted_.row = static_cast<std::uint8_t>(std::min<unsigned>(wanted_.row + 1U, rows - 1));
            break;
        default:
            if (++wanted_.column == columns) {
                wanted_.column = 0;
                wanted_.row = static_cast<std::uint8_t>(std::min<unsigned>(wanted_.row + 1U, rows - 1));
            }
    }
    shown_ = wanted_;
}

void Display::move(unsigned row, unsigned column) noexcept {
    wanted_.row = static_cast<std::uint8_t>(std::min(row, rows - 1));
    wanted_.column = static_cast<std::uint8_t>(std::min(column, columns - 1));
}

/// The cursor stays.
void Display::repeat(const boot::BiosFrame& frame, std::string& output) {
    const Position before = wanted_;
    const unsigned count = std::min<unsigned>(word(frame.ecx), columns * rows);
    for (unsigned i = 0; i < count; ++i) put(low(frame.eax), output);
    wanted_ = before;
}

void Display::write_string(const boot::BiosFrame& frame, const GuestMemory& memory, std::string& output) {
    const Position before = wanted_;
    const bool attributes = (frame.eax & 2) != 0;
    const unsigned step = attributes ? 2 : 1;
    move(high(frame.edx), low(frame.edx));
    for (unsigned i = 0; i < word(frame.ecx); ++i) {
        std::array<std::byte, 1> character{};
        if (memory.read(linear(frame.es, frame.ebp + i * step), character) == 0) break;
        put(std::to_integer<std::uint8_t>(character[0]), output);
    }
    if ((frame.eax & 1) == 0) wanted_ = before;
}

void Display::clear(std::string& output) {
    output += "\x1b[2J\x1b[H";
    wanted_ = shown_ = {};
}

}  // namespace asyncvm::bios
