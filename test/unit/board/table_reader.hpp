/// Reads a table as a kernel does: from guest-physical addresses, with checks of its own.
#pragma once

#include <asyncvm/boot.hpp>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace asyncvm::test {

inline std::uint64_t number_at(std::span<const std::byte> bytes, std::size_t offset, unsigned width) {
    BOOST_REQUIRE_LE(offset + width, bytes.size());
    std::uint64_t value = 0;
    for (unsigned at = width; at > 0; --at) value = value << 8 | std::to_integer<std::uint64_t>(bytes[offset + at - 1]);
    return value;
}

inline std::string text_at(std::span<const std::byte> bytes, std::size_t offset, std::size_t width) {
    BOOST_REQUIRE_LE(offset + width, bytes.size());
    return {reinterpret_cast<const char*>(bytes.data()) + offset, width};
}

inline unsigned sum_of(std::span<const std::byte> bytes) {
    unsigned sum = 0;
    for (const std::byte byte : bytes) sum += std::to_integer<unsigned>(byte);
    return sum % 0x100;
}

inline const BootTable& table_named(const BootSurroundings& surroundings, const std::string& name) {
    for (const BootTable& table : surroundings.tables) {
        if (table.name == name) return table;
    }
    BOOST_FAIL("there is no table " << name);
    return surroundings.tables.front();
}

/// The ACPI tables, found from the RSDP on.
class AcpiReader {
public:
    AcpiReader(std::span<const std::byte> bytes, std::uint64_t address) : bytes_(bytes), address_(address) {
        BOOST_TEST(text_at(bytes, 0, 8) == "RSD PTR ");
        BOOST_TEST(sum_of(bytes.first(20)) == 0u);
        BOOST_TEST(sum_of(bytes.first(36)) == 0u);
        BOOST_TEST(number_at(bytes, 15, 1) == 2u);
        BOOST_TEST(number_at(bytes, 20, 4) == 36u);
        const auto rsdt = at(number_at(bytes, 16, 4));
        const auto xsdt = at(number_at(bytes, 24, 8));
        BOOST_TEST(text_at(rsdt, 0, 4) == "RSDT");
        BOOST_TEST(text_at(xsdt, 0, 4) == "XSDT");
        BOOST_REQUIRE_EQUAL((rsdt.size() - 36) / 4, (xsdt.size() - 36) / 8);
        for (std::size_t index = 0; 36 + 8 * index < xsdt.size(); ++index) {
            const auto place = number_at(xsdt, 36 + 8 * index, 8);
            BOOST_TEST(number_at(rsdt, 36 + 4 * index, 4) == place);
            tables_.push_back(at(place));
        }
        tables_.push_back(at(number_at(table("FACP"), 40, 4)));
        facs_ = whole(number_at(table("FACP"), 36, 4));
        BOOST_TEST(number_at(table("FACP"), 36, 4) % 64 == 0u);
        tables_.insert(tables_.end(), {rsdt, xsdt});
    }

    [[nodiscard]] std::span<const std::byte> table(const std::string& signature) const {
        for (const auto table : tables_) {
            if (text_at(table, 0, 4) == signature) return table;
        }
        BOOST_FAIL("there is no table " << signature);
        return {};
    }
    /// Without the FACS, which has no header and no checksum.
    [[nodiscard]] const std::vector<std::span<const std::byte>>& tables() const { return tables_; }
    [[nodiscard]] std::span<const std::byte> facs() const { return facs_; }

private:
    [[nodiscard]] std::span<const std::byte> whole(std::uint64_t place) const {
        BOOST_REQUIRE_GE(place, address_ + 36);
        const auto size = number_at(bytes_, place - address_ + 4, 4);
        BOOST_REQUIRE_LE(place - address_ + size, bytes_.size());
        return bytes_.subspan(place - address_, size);
    }
    [[nodiscard]] std::span<const std::byte> at(std::uint64_t place) const {
        const auto table = whole(place);
        BOOST_TEST(sum_of(table) == 0u);
        return table;
    }

    std::span<const std::byte> bytes_;
    std::uint64_t address_;
    std::vector<std::span<const std::byte>> tables_;
    std::span<const std::byte> facs_;
};

}  // namespace asyncvm::test
