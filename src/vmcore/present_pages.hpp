/// Which pages of the guest's memory hold something: to read the others would take them from the host.
#pragma once

#include <asyncvm/guest_memory.hpp>

#include <cstdint>
#include <vector>

#include "os/unique_fd.hpp"

namespace asyncvm::vmcore {

class PresentPages {
public:
    PresentPages();

    struct Extent {
        std::uint64_t offset = 0;  ///< in the region
        std::uint64_t size = 0;    ///< bytes
    };
    /// Of `size` bytes at `offset` of `region`, both by whole pages, in order. All of them where the kernel does not tell.
    [[nodiscard]] std::vector<Extent> in(const GuestMemory::Region& region, std::uint64_t offset, std::uint64_t size) const;

private:
    [[nodiscard]] bool ask_file(const GuestMemory::Region& region, Extent wanted, std::vector<Extent>& found) const;
    [[nodiscard]] bool ask_page_tables(const GuestMemory::Region& region, Extent wanted, std::vector<Extent>& found) const;

    UniqueFd page_map_;
};

}  // namespace asyncvm::vmcore
