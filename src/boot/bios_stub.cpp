#include "boot/bios_stub.hpp"

#include <array>
#include <cstring>
#include <initializer_list>
#include <span>

namespace asyncvm::boot {

namespace {

constexpr std::array<std::uint8_t, 8> services{0x10, 0x11, 0x12, 0x13, 0x15, 0x16, 0x19, 0x1a};

// Offsets in the code.
constexpr std::uint16_t entry_size = 8;  ///< of each service's entry, from 0 on
constexpr std::uint16_t common = 0x100;
constexpr std::uint16_t master_handler = 0x140;
constexpr std::uint16_t slave_handler = 0x150;
constexpr std::uint16_t return_only = 0x160;
constexpr std::uint16_t code_size = 0x190;

void put(std::span<std::byte> code, std::size_t at, std::initializer_list<int> bytes) {
    for (const int byte : bytes) code[at++] = static_cast<std::byte>(byte);
}

constexpr int low(std::uint16_t value) { return value & 0xff; }
constexpr int high(std::uint16_t value) { return value >> 8; }

}  // namespace

std::vector<std::byte> make_bios_code(BiosCalls calls) {
    std::vector<std::byte> code(code_size);
    for (std::uint16_t i = 0; i < services.size(); ++i) {
        const auto at = static_cast<std::uint16_t>(i * entry_size);
        const auto jump = static_cast<std::uint16_t>(common - (at + 5));
        put(code, at, {0x6a, services[i], 0xe9, low(jump), high(jump)});  // push vector; jmp common
    }
    if (calls == BiosCalls::refused) {
        put(code, common,
            {
                0x44, 0x44,              // inc sp; inc sp (the vector)
                0x55, 0x89, 0xe5,        // push bp; mov bp, sp
                0x83, 0x4e, 0x06, 0x01,  // or word [bp + 6], 1: carry, in the caller's flags
                0xb4, 0x86,              // mov ah, 0x86
                0x5d, 0xcf,              // pop bp; iret
            });
    } else {
        put(code, common,
            {
                0x66, 0x60,  // pushad
                0x1e, 0x06,  // push ds; push es
                0x66, 0x31,           0xc0,
                0x8c, 0xd0,  // xor eax, eax; mov ax, ss
                0x66, 0xc1,           0xe0,
                0x04,  // shl eax, 4
                0x66, 0x31,           0xdb,
                0x89, 0xe3,                             // xor ebx, ebx; mov bx, sp
                0x66, 0x01,           0xd8,             // add eax, ebx
                0xba, low(bios_port), high(bios_port),  // mov dx, bios_port
                0x66, 0xef,                             // out dx, eax
                0x07, 0x1f,                             // pop es; pop ds
                0x66, 0x61,                             // popad
                0x44, 0x44,           0xcf,             // inc sp; inc sp (the vector); iret
            });
    }
    // An interrupt that nobody handles is acknowledged: push ax; mov al, 0x20; out 0xa0, al; out 0x20, al; pop ax; iret
    put(code, master_handler, {0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf});
    put(code, slave_handler, {0x50, 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x58, 0xcf});
    put(code, return_only, {0xcf});
    // A 1.44 MB drive; DOS boot sectors copy these 11 bytes.
    put(code, diskette_table, {0xdf, 0x02, 0x25, 0x02, 0x12, 0x1b, 0xff, 0x6c, 0xf6, 0x0f, 0x08});
    return code;
}

std::vector<std::byte> make_bios_vectors() {
    std::vector<std::byte> vectors(256 * 4);
    const auto set = [&](unsigned vector, std::uint16_t offset) {
        const std::array<std::uint16_t, 2> entry{offset, static_cast<std::uint16_t>(bios_code >> 4)};
        std::memcpy(vectors.data() + 4 * vector, entry.data(), sizeof entry);
    };
    for (unsigned vector = 0x08; vector <= 0x0f; ++vector) set(vector, master_handler);
    for (unsigned vector = 0x10; vector <= 0x1c; ++vector) set(vector, return_only);
    for (unsigned vector = 0x70; vector <= 0x77; ++vector) set(vector, slave_handler);
    for (std::uint16_t i = 0; i < services.size(); ++i) set(services[i], static_cast<std::uint16_t>(i * entry_size));
    set(0x1e, diskette_table);
    return vectors;
}

std::uint8_t boot_drive(std::uint64_t image_size) noexcept {
    constexpr std::uint64_t largest_floppy = 2880 << 10;
    return image_size <= largest_floppy ? 0 : 0x80;
}

}  // namespace asyncvm::boot
