#include "bios/services.hpp"

#include "bios/frame.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string_view>

namespace asyncvm::bios {

namespace {

constexpr std::uint64_t mib = 1 << 20;
constexpr unsigned unsupported = 0x86;

std::uint16_t word_at(const GuestMemory& memory, std::uint64_t address) {
    std::array<std::byte, 2> bytes{};
    static_cast<void>(memory.read(address, bytes));
    std::uint16_t value = 0;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

/// Bytes of RAM from 1 MiB on without a gap.
std::uint64_t extended_memory(std::span<const MemoryRange> map) {
    std::uint64_t end = mib;
    for (const MemoryRange& range : map) {
        if (range.kind == MemoryKind::ram && range.address <= end && range.address + range.size > end) {
            end = range.address + range.size;
        }
    }
    return end - mib;
}

/// AX and CX: KiB up to 16 MiB; BX and DX: 64 KiB blocks above.
void tell_extended_memory(boot::BiosFrame& frame, std::uint64_t extended) {
    const auto below = static_cast<unsigned>(std::min(extended, 15 * mib) >> 10);
    const auto above = static_cast<unsigned>((extended - std::min(extended, 15 * mib)) >> 16);
    set_word(frame.eax, below);
    set_word(frame.ecx, below);
    set_word(frame.ebx, above);
    set_word(frame.edx, above);
    set_flag(frame, flag_carry, false);
}

/// One range a call: EBX counts them.
void tell_map(boot::BiosFrame& frame, GuestMemory& memory, std::span<const MemoryRange> map) {
    constexpr std::uint32_t magic = 0x534d'4150;  // "SMAP"
    if (frame.edx != magic || frame.ecx < 20 || frame.ebx >= map.size()) return finish(frame, unsupported);
    const MemoryRange& range = map[frame.ebx];
    std::array<std::byte, 20> entry{};
    std::memcpy(entry.data(), &range.address, 8);
    std::memcpy(entry.data() + 8, &range.size, 8);
    std::memcpy(entry.data() + 16, &range.kind, 4);
    static_cast<void>(memory.write(linear(frame.es, frame.edi), entry));
    frame.eax = magic;
    frame.ecx = 20;
    frame.ebx = frame.ebx + 1 < map.size() ? frame.ebx + 1 : 0;
    set_flag(frame, flag_carry, false);
}

/// CX words from the base of the descriptor at ES:SI + 0x10 to that at + 0x18.
unsigned move_block(const boot::BiosFrame& frame, GuestMemory& memory) {
    std::array<std::byte, 0x20> table{};
    if (memory.read(linear(frame.es, frame.esi), table) != table.size()) return 1;
    const auto base = [&table](std::size_t at) {
        std::uint32_t low_bytes = 0;
        std::memcpy(&low_bytes, table.data() + at + 2, sizeof low_bytes);
        return (low_bytes & 0xff'ffff) | std::to_integer<std::uint32_t>(table[at + 7]) << 24;
    };
    std::vector<std::byte> bytes(std::size_t{2} * word(frame.ecx));
    if (memory.read(base(0x10), bytes) != bytes.size()) return 1;
    return memory.write(base(0x18), bytes) == bytes.size() ? 0 : 1;
}

/// The key of a US keyboard, in AH, and its character, in AL.
unsigned scan_code(std::uint8_t character) {
    struct Row {
        std::string_view keys;
        std::uint8_t first;
    };
    constexpr std::array rows{
        Row{"1234567890-=", 0x02}, Row{"!@#$%^&*()_+", 0x02},  Row{"qwertyuiop[]", 0x10}, Row{"QWERTYUIOP{}", 0x10},
        Row{"asdfghjkl;'`", 0x1e}, Row{"ASDFGHJKL:\"~", 0x1e}, Row{"\\zxcvbnm,./", 0x2b}, Row{"|ZXCVBNM<>?", 0x2b},
    };
    for (const Row& row : rows) {
        const auto at = row.keys.find(static_cast<char>(character));
        if (at != row.keys.npos) return row.first + static_cast<unsigned>(at);
    }
    switch (character) {
        case 0x1b:
            return 0x01;
        case '\b':
            return 0x0e;
        case '\t':
            return 0x0f;
        case '\r':
            return 0x1c;
        case ' ':
            return 0x39;
        default:
            return 0;
    }
}

/// A terminal's Enter is a carriage return, a file's line ends with a line feed; its Backspace is DEL.
unsigned key_of(std::uint8_t character) {
    if (character == '\n') character = '\r';
    if (character == 0x7f) character = '\b';
    return scan_code(character) << 8 | character;
}

unsigned bcd(unsigned value) { return (value / 10 % 10) << 4 | value % 10; }

void tell_time(boot::BiosFrame& frame, GuestMemory& memory, std::chrono::system_clock::time_point time) {
    using namespace std::chrono;
    const auto day = floor<days>(time);
    const hh_mm_ss clock(floor<microseconds>(time - day));
    const year_month_day date(day);
    const auto function = high(frame.eax);
    if (function == 0x00) {
        // 1,573,040 ticks a day.
        const auto ticks =
            static_cast<std::uint32_t>(duration_cast<microseconds>(time - day).count() * 1'573'040 / 86'400'000'000);
        set_word(frame.ecx, ticks >> 16);
        set_word(frame.edx, ticks);
        set_low(frame.eax, 0);
        static_cast<void>(memory.write(0x46c, std::as_bytes(std::span(&ticks, 1))));
    } else if (function == 0x02) {
        const auto hour = static_cast<unsigned>(clock.hours().count());
        const auto minute = static_cast<unsigned>(clock.minutes().count());
        set_word(frame.ecx, bcd(hour) << 8 | bcd(minute));
        set_word(frame.edx, bcd(static_cast<unsigned>(clock.seconds().count())) << 8);
        set_flag(frame, flag_carry, false);
    } else if (function == 0x04) {
        const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
        set_word(frame.ecx, bcd(year / 100) << 8 | bcd(year % 100));
        set_word(frame.edx, bcd(static_cast<unsigned>(date.month())) << 8 | bcd(static_cast<unsigned>(date.day())));
        set_flag(frame, flag_carry, false);
    } else {
        set_flag(frame, flag_carry, true);
    }
}

}  // namespace

Answer Services::call(boot::BiosFrame& frame, GuestMemory& memory, std::chrono::system_clock::time_point time) {
    Answer answer;
    switch (frame.vector) {
        case 0x10:
            display_.call(frame, memory, answer.output);
            break;
        case 0x11:
            set_word(frame.eax, word_at(memory, 0x410));
            break;
        case 0x12:
            set_word(frame.eax, word_at(memory, 0x413));
            break;
        case 0x13:
            disk_.call(frame, memory);
            break;
        case 0x15:
            system(frame, memory, answer);
            break;
        case 0x16:
            keyboard(frame, answer);
            break;
        case 0x19:
            answer.resets = true;
            break;
        case 0x1a:
            tell_time(frame, memory, time);
            break;
        default:
            break;
    }
    return answer;
}

void Services::system(boot::BiosFrame& frame, GuestMemory& memory, Answer& answer) const {
    switch (word(frame.eax)) {
        case 0x2400:  // A20: always on, and there is no way to turn it off
            return finish(frame, unsupported);
        case 0x2401:
            return finish(frame, 0);
        case 0x2402:
            set_low(frame.eax, 1);
            return finish(frame, 0);
        case 0x2403:
            set_word(frame.ebx, 3);
            return finish(frame, 0);
        case 0xe801:
            return tell_extended_memory(frame, extended_memory(map_));
        case 0xe820:
            return tell_map(frame, memory, map_);
        default:
            break;
    }
    switch (high(frame.eax)) {
        case 0x86:
            answer.pause = std::chrono::microseconds(std::uint64_t{word(frame.ecx)} << 16 | word(frame.edx));
            return finish(frame, 0);
        case 0x87:
            return finish(frame, move_block(frame, memory));
        case 0x88:
            set_word(frame.eax, static_cast<unsigned>(std::min<std::uint64_t>(extended_memory(map_) >> 10, 0xffff)));
            return set_flag(frame, flag_carry, false);
        default:
            return finish(frame, unsupported);
    }
}

void Services::keyboard(boot::BiosFrame& frame, Answer& answer) {
    switch (high(frame.eax)) {
        case 0x00:
        case 0x10:
            if (!key_) {
                answer.wants_key = true;
                return;
            }
            set_word(frame.eax, key_of(*key_));
            key_.reset();
            return;
        case 0x01:
        case 0x11:
            set_flag(frame, flag_zero, !key_);
            if (key_) set_word(frame.eax, key_of(*key_));
            return;
        case 0x02:
        case 0x12:
            set_low(frame.eax, 0);  // no shift key is down
            return;
        default:
            return;
    }
}

}  // namespace asyncvm::bios
