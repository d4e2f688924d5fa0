#include "vmcore/present_pages.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "vmcore/layout.hpp"

namespace asyncvm::vmcore {

namespace {
void add(std::vector<PresentPages::Extent>& all, std::uint64_t offset, std::uint64_t size) {
    if (!all.empty() && all.back().offset + all.back().size == offset) {
        all.back().size += size;
    } else {
        all.push_back({offset, size});
    }
}

}  // namespace

PresentPages::PresentPages() : page_map_(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)) {}

std::vector<PresentPages::Extent> PresentPages::in(const GuestMemory::Region& region, std::uint64_t offset,
                                                   std::uint64_t size) const {
    const Extent wanted{offset, size};
    std::vector<Extent> found;
    const bool told = region.fd >= 0 ? ask_file(region, wanted, found) : ask_page_tables(region, wanted, found);
    if (!told) found = {wanted};
    return found;
}

/// Shared memory may be there though this process has never touched it.
bool PresentPages::ask_file(const GuestMemory::Region& region, Extent wanted, std::vector<Extent>& found) const {
    const auto begin = static_cast<off_t>(region.offset);
    const auto end = begin + static_cast<off_t>(wanted.offset + wanted.size);
    for (auto at = begin + static_cast<off_t>(wanted.offset); at < end;) {
        const off_t data = ::lseek(region.fd, at, SEEK_DATA);
        if (data < 0) return errno == ENXIO;
        if (data >= end) return true;
        const off_t hole = ::lseek(region.fd, data, SEEK_HOLE);
        if (hole < 0) return false;
        const off_t until = std::min(hole, end);
        add(found, static_cast<std::uint64_t>(data - begin), static_cast<std::uint64_t>(until - data));
        at = until;
    }
    return true;
}

/// Documentation/admin-guide/mm/pagemap.rst: eight bytes a page. (mincore(2) calls a page that is swapped out absent.)
bool PresentPages::ask_page_tables(const GuestMemory::Region& region, Extent wanted, std::vector<Extent>& found) const {
    constexpr std::uint64_t present = std::uint64_t{1} << 63;
    constexpr std::uint64_t swapped = std::uint64_t{1} << 62;
    if (!page_map_.valid()) return false;
    std::vector<std::uint64_t> entries(wanted.size / page_size);
    const auto host = reinterpret_cast<std::uintptr_t>(region.bytes.data()) + wanted.offset;
    const auto bytes = entries.size() * sizeof entries[0];
    const auto got =
        ::pread(page_map_.get(), entries.data(), bytes, static_cast<off_t>(host / page_size * sizeof entries[0]));
    if (got != static_cast<ssize_t>(bytes)) return false;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        if ((entries[i] & (present | swapped)) != 0) add(found, wanted.offset + i * page_size, page_size);
    }
    return true;
}

}  // namespace asyncvm::vmcore
