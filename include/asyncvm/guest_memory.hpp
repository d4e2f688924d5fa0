/// The guest's RAM: guest-physical addresses to host memory, every access checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace asyncvm {

/// RAM from 0 up to 3 GiB, the rest from 4 GiB on, as on a PC. Pages are reserved lazily: memory that the guest never
/// touches costs nothing.
class GuestMemory {
public:
    struct Region {
        std::uint64_t address = 0;     ///< guest-physical, page-aligned
        std::span<std::byte> bytes{};  ///< host memory
        std::string name;              ///< for messages: "ram", "boot tables"
    };

    static constexpr std::uint64_t page_size = 4096;
    static constexpr std::uint64_t low_limit = 0xc000'0000;         ///< RAM below ends here
    static constexpr std::uint64_t high_base = 0x1'0000'0000;       ///< and goes on here
    static constexpr std::uint64_t boot_tables_base = 0xfffb'0000;  ///< see boot_tables()
    static constexpr std::uint64_t boot_tables_size = 0x8000;

    /// `ram_size` in bytes: a multiple of the page size, at least one page. Throws Error(host) if it can't be reserved.
    explicit GuestMemory(std::uint64_t ram_size);
    ~GuestMemory();
    GuestMemory(const GuestMemory&) = delete;
    GuestMemory& operator=(const GuestMemory&) = delete;

    /// Bytes of RAM, without the boot tables.
    [[nodiscard]] std::uint64_t ram_size() const noexcept { return ram_size_; }

    /// In the order of their addresses; the boot tables, if there are any, are one of them.
    [[nodiscard]] const std::vector<Region>& regions() const noexcept { return regions_; }

    /// A small region outside the RAM, for the GDT and the page tables that --mode 32 and 64 start with, so that the whole
    /// RAM is the guest's. Made at the first call.
    std::span<std::byte> boot_tables();

    /// Host memory behind [address, address + size), if all of it is in one region; otherwise an empty span.
    [[nodiscard]] std::span<std::byte> try_at(std::uint64_t address, std::uint64_t size) const noexcept;

    /// Copies as much as there is memory for, from `address` on, across regions; returns how much that was.
    std::size_t read(std::uint64_t address, std::span<std::byte> to) const noexcept;
    std::size_t write(std::uint64_t address, std::span<const std::byte> from) noexcept;

private:
    void map(std::uint64_t address, std::uint64_t size, std::string name);

    std::uint64_t ram_size_;
    std::vector<Region> regions_;
};

}  // namespace asyncvm
