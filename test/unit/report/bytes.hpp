/// Code and data for made-up guests.
#pragma once

#include <asyncvm/guest_memory.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

namespace asyncvm::test {

inline std::vector<std::byte> bytes(std::initializer_list<int> values) {
    std::vector<std::byte> result;
    for (const int value : values) result.push_back(static_cast<std::byte>(value));
    return result;
}

inline void put(GuestMemory& memory, std::uint64_t address, std::initializer_list<int> values) {
    memory.write(address, bytes(values));
}

template <typename Number>
void put_number(GuestMemory& memory, std::uint64_t address, Number number) {
    memory.write(address, std::as_bytes(std::span(&number, 1)));
}

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace asyncvm::test
