// What a guest sees of the bell: two registers. No threads, no sockets, no asyncvm: tested alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

struct BellRegisters {
    static constexpr unsigned state_version = 1;
    std::uint8_t rings = 0;  // that the guest has not read yet
    bool interrupts = false;

    void ring(std::uint64_t times) { rings = static_cast<std::uint8_t>(std::min<std::uint64_t>(rings + times, 255)); }

    std::uint8_t read(std::uint64_t offset) {
        if (offset == 0) return std::exchange(rings, 0);
        return interrupts ? 1 : 0;
    }

    void write(std::uint64_t offset, std::uint64_t value) {
        if (offset == 0) ring(value);
        if (offset == 1) interrupts = (value & 1) != 0;
    }

    bool interrupt() const { return interrupts && rings > 0; }

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("rings", rings);
        archive.field("interrupts", interrupts);
    }
};
