/// Looking at boot plans.
#pragma once

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "boot/plan.hpp"
#include "throws.hpp"

namespace asyncvm::test {

/// The first piece whose name has `name` in it.
inline const boot::Piece& piece_of(const boot::Plan& plan, std::string_view name) {
    const auto found = std::ranges::find_if(plan.pieces, [&](const boot::Piece& each) { return contains(each.name, name); });
    BOOST_REQUIRE_MESSAGE(found != plan.pieces.end(), "there is no piece " << name);
    return *found;
}

/// The value that the guest finds at an address in a piece with bytes of its own.
template <typename T>
T value_at(const boot::Plan& plan, std::uint64_t address) {
    for (const auto& piece : plan.pieces) {
        if (piece.image || address < piece.address || address - piece.address + sizeof(T) > piece.bytes.size()) continue;
        T value{};
        std::memcpy(&value, piece.bytes.data() + (address - piece.address), sizeof value);
        return value;
    }
    BOOST_FAIL("the plan has no bytes at " << address);
    return {};
}

/// A text up to its NUL.
inline std::string text_at(const boot::Plan& plan, std::uint64_t address) {
    std::string text;
    for (char c = 0; (c = value_at<char>(plan, address)) != 0; ++address) text += c;
    return text;
}

/// No two pieces overlap, and each is in RAM, or a table of the board, or where the board has a place for a BIOS.
inline void check_places(const boot::Plan& plan, const boot::Surroundings& around) {
    std::vector<const boot::Piece*> order;
    for (const auto& piece : plan.pieces) {
        if (piece.size != 0) order.push_back(&piece);
    }
    std::ranges::sort(order, {}, [](const boot::Piece* piece) { return piece->address; });
    for (std::size_t i = 1; i < order.size(); ++i) {
        const auto& before = *order[i - 1];
        BOOST_TEST(order[i]->address - before.address >= before.size,
                   before.name << " and " << order[i]->name << " overlap");
    }
    for (const auto* piece : order) {
        const bool table = std::ranges::any_of(around.tables, [&](const auto& each) { return each.name == piece->name; });
        const auto place = piece->name == "the absent BIOS" ? MemoryKind::reserved : MemoryKind::ram;
        const bool ram = std::ranges::any_of(around.map, [&](const auto& range) {
            return range.kind == place && piece->address >= range.address && piece->size <= range.size &&
                   piece->address - range.address <= range.size - piece->size;
        });
        BOOST_TEST((ram || table), piece->name << " is not in RAM");
        BOOST_TEST((!piece->image || piece->file_size <= piece->size));
        BOOST_TEST((!piece->image || piece->file_size == 0 ||
                    (piece->offset <= piece->image->size() && piece->file_size <= piece->image->size() - piece->offset)));
    }
}

}  // namespace asyncvm::test
