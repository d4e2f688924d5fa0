#include <asyncvm/error.hpp>
#include <asyncvm/guest_memory.hpp>

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace asyncvm {

GuestMemory::GuestMemory(std::uint64_t ram_size) : ram_size_(ram_size) {
    try {
        map(0, std::min(ram_size, low_limit), "ram");
        if (ram_size > low_limit) map(high_base, ram_size - low_limit, "ram above 4 GiB");
    } catch (...) {
        for (const Region& region : regions_) munmap(region.bytes.data(), region.bytes.size());
        throw;
    }
}

GuestMemory::~GuestMemory() {
    for (const Region& region : regions_) munmap(region.bytes.data(), region.bytes.size());
}

void GuestMemory::map(std::uint64_t address, std::uint64_t size, std::string name) {
    void* const host = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (host == MAP_FAILED) {
        throw Error(ErrorKind::host, fmt::format("cannot reserve {} MiB of guest memory: {} (ask for less with --memory, or "
                                                 "raise the limit that `ulimit -v` shows)",
                                                 size >> 20, std::generic_category().message(errno)));
    }
    // A core dump of the monitor with all of its guest's memory helps nobody.
    madvise(host, size, MADV_DONTDUMP);
    const auto place = std::upper_bound(regions_.begin(), regions_.end(), address,
                                        [](std::uint64_t value, const Region& region) { return value < region.address; });
    regions_.insert(place, Region{address, {static_cast<std::byte*>(host), size}, std::move(name)});
}

std::span<std::byte> GuestMemory::boot_tables() {
    if (const auto tables = try_at(boot_tables_base, boot_tables_size); !tables.empty()) return tables;
    map(boot_tables_base, boot_tables_size, "boot tables");
    return try_at(boot_tables_base, boot_tables_size);
}

std::span<std::byte> GuestMemory::try_at(std::uint64_t address, std::uint64_t size) const noexcept {
    for (const Region& region : regions_) {
        if (address < region.address) break;
        const std::uint64_t offset = address - region.address;
        if (offset < region.bytes.size() && size <= region.bytes.size() - offset) return region.bytes.subspan(offset, size);
    }
    return {};
}

std::size_t GuestMemory::read(std::uint64_t address, std::span<std::byte> to) const noexcept {
    std::size_t done = 0;
    for (const Region& region : regions_) {
        const std::uint64_t at = address + done;
        if (at < region.address) break;
        const std::uint64_t offset = at - region.address;
        if (offset >= region.bytes.size()) continue;
        const std::size_t count = std::min<std::size_t>(to.size() - done, region.bytes.size() - offset);
        std::memcpy(to.data() + done, region.bytes.data() + offset, count);
        done += count;
        if (done == to.size()) break;
    }
    return done;
}

std::size_t GuestMemory::write(std::uint64_t address, std::span<const std::byte> from) noexcept {
    std::size_t done = 0;
    for (const Region& region : regions_) {
        const std::uint64_t at = address + done;
        if (at < region.address) break;
        const std::uint64_t offset = at - region.address;
        if (offset >= region.bytes.size()) continue;
        const std::size_t count = std::min<std::size_t>(from.size() - done, region.bytes.size() - offset);
        std::memcpy(region.bytes.data() + offset, from.data() + done, count);
        done += count;
        if (done == from.size()) break;
    }
    return done;
}

}  // namespace asyncvm
