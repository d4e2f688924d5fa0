/// Guests of a few bytes for 16-bit mode, where a test needs something special.
#pragma once

#include <string>

namespace program_test {

/// The whole of a guest with zero bytes in it.
template <std::size_t Size>
std::string guest_code(const char (&bytes)[Size]) {
    return std::string(bytes, Size - 1);
}

/// hlt
inline const std::string halting_guest = guest_code("\xf4");

/// mov al, 'S'; out 0xe9, al; jmp $
inline const std::string spinning_guest = guest_code("\xb0S\xe6\xe9\xeb\xfe");

/// mov al, 'S'; out 0xe9, al; mov eax, 0xffffffff; out 0xf2, eax; hlt -- sleeps for more than an hour
inline const std::string sleeping_guest = guest_code("\xb0S\xe6\xe9\x66\xb8\xff\xff\xff\xff\x66\xe7\xf2\xf4");

/// mov dx, 0x3f8; mov al, 'H'; out dx, al; hlt
inline const std::string serial_guest = guest_code("\xba\xf8\x03\xb0H\xee\xf4");

/// mov cx, 20000; again: out 0x80, al; loop again; hlt
inline const std::string posting_guest = guest_code("\xb9\x20\x4e\xe6\x80\xe2\xfc\xf4");

/// mov dx, 0x3f8; mov al, 'x'; again: out dx, al; jmp again -- never stops printing
inline const std::string chattering_guest = guest_code("\xba\xf8\x03\xb0x\xee\xeb\xfd");

/// mov dx, 0x3fe; poll: in al, dx; test al, 0x10; jz poll; mov dl, 0xf8; mov al, 'C'; out dx, al; hlt -- prints when CTS is
/// on
inline const std::string flow_controlled_guest = guest_code("\xba\xfe\x03\xec\xa8\x10\x74\xfb\xb2\xf8\xb0\x43\xee\xf4");

/// mov dx, 0x3f8; poll: add dx, 5; in al, dx; sub dx, 5; test al, 1; jz poll; in al, dx; out dx, al; jmp poll -- an echo
inline const std::string echoing_guest =
    guest_code("\xba\xf8\x03\x83\xc2\x05\xec\x83\xea\x05\xa8\x01\x74\xf5\xec\xee\xeb\xf1");

}  // namespace program_test
