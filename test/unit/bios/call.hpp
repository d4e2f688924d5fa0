/// A BIOS call as a test makes it.
#pragma once

#include "boot/bios_stub.hpp"

#include <cstdint>

namespace asyncvm::test {

struct Call {
    std::uint16_t vector = 0;
    std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0, esi = 0, edi = 0, ebp = 0;
    std::uint16_t es = 0, ds = 0;

    [[nodiscard]] boot::BiosFrame frame() const {
        boot::BiosFrame frame{};
        frame.vector = vector;
        frame.eax = eax, frame.ebx = ebx, frame.ecx = ecx, frame.edx = edx;
        frame.esi = esi, frame.edi = edi, frame.ebp = ebp;
        frame.es = es, frame.ds = ds;
        frame.flags = 0x0202;
        return frame;
    }
};

inline bool carry(const boot::BiosFrame& frame) { return (frame.flags & 1) != 0; }
inline unsigned status(const boot::BiosFrame& frame) { return frame.eax >> 8 & 0xff; }

}  // namespace asyncvm::test
