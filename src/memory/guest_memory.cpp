#include <asyncvm/error.hpp>
#include <asyncvm/guest_memory.hpp>

#include <fmt/format.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>
#include "text/errno_text.hpp"

namespace asyncvm {

namespace {

constexpr std::uint64_t huge_page_size = 2 << 20;
constexpr int huge_2mb = 21 << MAP_HUGE_SHIFT;  ///< MAP_HUGE_2MB, for which the C library has no name

std::uint64_t round_up(std::uint64_t size, std::uint64_t to) { return (size + to - 1) / to * to; }

[[noreturn]] void fail(const std::string& what, const std::string& advice) {
    throw Error(ErrorKind::host, fmt::format("{}: {} ({})", what, reason(errno), advice));
}

/// Of a file of /sys whose text is a list of words, the one in brackets.
std::string chosen_word(const char* path) {
    std::string text;
    std::getline(std::ifstream(path), text);
    const auto begin = text.find('[');
    const auto end = text.find(']');
    return begin == std::string::npos || end == std::string::npos ? std::string() : text.substr(begin + 1, end - begin - 1);
}

/// Why the kernel gives this memory no huge pages though they were asked for, and what to do; empty if it gives some.
std::string why_no_huge_pages(bool shared) {
    const char* const file =
        shared ? "/sys/kernel/mm/transparent_hugepage/shmem_enabled" : "/sys/kernel/mm/transparent_hugepage/enabled";
    const auto chosen = chosen_word(file);
    if (chosen != "never" && chosen != "deny" && !chosen.empty()) return {};
    return fmt::format(
        "{}guest memory gets no huge pages on this host ({})", shared ? "shared " : "",
        chosen.empty() ? "its kernel has none"
                       : fmt::format("echo {} | sudo tee {}, or --hugepages reserved", shared ? "advise" : "madvise", file));
}

}  // namespace

GuestMemory::GuestMemory(std::uint64_t ram_size, const MemoryOptions& options) : ram_size_(ram_size), options_(options) {
    try {
        map(0, std::min(ram_size, low_limit), "ram", options_.huge_pages);
        if (ram_size > low_limit) map(high_base, ram_size - low_limit, "ram above 4 GiB", options_.huge_pages);
    } catch (...) {
        unmap_all();
        throw;
    }
    if (options_.huge_pages != HugePages::on || !options_.log) return;
    if (const auto why = why_no_huge_pages(options_.shared); !why.empty()) options_.log(why);
}

GuestMemory::~GuestMemory() { unmap_all(); }

void GuestMemory::unmap_all() noexcept {
    for (const Mapping& mapping : mappings_) {
        munmap(mapping.host, mapping.size);
        if (mapping.fd >= 0) close(mapping.fd);
    }
}

GuestMemory::Mapping GuestMemory::map_host(std::uint64_t size, HugePages huge_pages, const std::string& name) const {
    Mapping mapping{nullptr, size, -1};
    if (huge_pages == HugePages::reserved) mapping.size = round_up(size, huge_page_size);
    const auto refuse = [&](const std::string& what) {
        const int error = errno;
        if (mapping.fd >= 0) close(mapping.fd);
        errno = error;
        if (huge_pages == HugePages::reserved) {
            const auto pages = mapping.size / huge_page_size;
            fail(fmt::format("cannot take {} huge pages for guest memory", pages),
                 fmt::format("set them aside first: `sudo sysctl vm.nr_hugepages={}`, or take --hugepages on", pages));
        }
        fail(fmt::format("{} {} MiB of guest memory", what, size >> 20),
             "ask for less with --memory, or raise the limit that `ulimit -v` shows");
    };
    if (options_.shared) {
        const unsigned huge = huge_pages == HugePages::reserved ? MFD_HUGETLB | MFD_HUGE_2MB : 0u;
        mapping.fd = memfd_create(fmt::format("asyncvm {}", name).c_str(), MFD_CLOEXEC | huge);
        if (mapping.fd < 0 || ftruncate(mapping.fd, static_cast<off_t>(mapping.size)) != 0) refuse("cannot share");
    }
    int flags = options_.shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    // Reserved pages are claimed now: a guest that touches one that is not there would end the process.
    flags |= huge_pages != HugePages::reserved ? MAP_NORESERVE : options_.shared ? 0 : MAP_HUGETLB | huge_2mb;
    // mmap gives any page's address; huge pages need one that is a multiple of theirs. What is too much goes again.
    const std::uint64_t slack = huge_pages == HugePages::on ? huge_page_size : 0;
    void* const wide =
        mmap(nullptr, mapping.size + slack, slack != 0 ? PROT_NONE : PROT_READ | PROT_WRITE,
             slack != 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : flags, slack != 0 ? -1 : mapping.fd, 0);
    if (wide == MAP_FAILED) refuse("cannot reserve");
    mapping.host = static_cast<std::byte*>(wide);
    if (slack == 0) return mapping;
    const auto misfit = reinterpret_cast<std::uintptr_t>(wide) % huge_page_size;
    const std::uint64_t before = misfit == 0 ? 0 : huge_page_size - misfit;
    mapping.host += before;
    if (mmap(mapping.host, mapping.size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, mapping.fd, 0) == MAP_FAILED) {
        const int error = errno;
        munmap(wide, mapping.size + slack);
        errno = error;
        refuse("cannot reserve");
    }
    if (before != 0) munmap(wide, before);
    if (slack != before) munmap(mapping.host + mapping.size, slack - before);
    madvise(mapping.host, mapping.size, MADV_HUGEPAGE);
    return mapping;
}

void GuestMemory::map(std::uint64_t address, std::uint64_t size, std::string name, HugePages huge_pages) {
    mappings_.reserve(mappings_.size() + 1);
    const Mapping mapping = map_host(size, huge_pages, name);
    mappings_.push_back(mapping);
    // A core dump of the monitor with all of its guest's memory helps nobody.
    madvise(mapping.host, mapping.size, MADV_DONTDUMP);
    const auto place = std::upper_bound(regions_.begin(), regions_.end(), address,
                                        [](std::uint64_t value, const Region& region) { return value < region.address; });
    regions_.insert(place, Region{address, {mapping.host, size}, std::move(name), mapping.fd, 0});
}

std::string_view GuestMemory::occupant(std::uint64_t first, std::uint64_t last, std::uint64_t ram_size,
                                       bool boot_tables) noexcept {
    const auto meets = [first, last](std::uint64_t base, std::uint64_t size) {
        return size != 0 && first <= base + (size - 1) && last >= base;
    };
    const std::uint64_t low = std::min(ram_size, low_limit);
    if (meets(0, low) || meets(high_base, ram_size - low)) return "the guest's RAM";
    if (boot_tables && meets(boot_tables_base, boot_tables_size))
        return "the GDT and page tables that modes 32 and 64 start with";
    if (meets(accelerator_pages_base, accelerator_pages_size)) return "the pages that KVM keeps for itself";
    return {};
}

std::span<std::byte> GuestMemory::boot_tables() {
    if (const auto tables = try_at(boot_tables_base, boot_tables_size); !tables.empty()) return tables;
    map(boot_tables_base, boot_tables_size, "boot tables", HugePages::off);
    return try_at(boot_tables_base, boot_tables_size);
}

std::span<std::byte> GuestMemory::firmware(std::uint64_t size) {
    const std::uint64_t base = firmware_end - size;
    if (const auto bytes = try_at(base, size); !bytes.empty()) return bytes;
    map(base, size, "firmware", HugePages::off);
    return try_at(base, size);
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
    if (patch_count_.load(std::memory_order_relaxed) != 0) [[unlikely]]
        hide_patches(address, to.first(done));
    return done;
}

bool GuestMemory::patch(std::uint64_t address, std::byte value) {
    const auto place = try_at(address, 1);
    if (place.empty()) return false;
    {
        const std::lock_guard lock(patches_mutex_);
        if (!patches_.try_emplace(address, Patch{value, place[0]}).second) return false;
        patch_count_ = patches_.size();
    }
    place[0] = value;
    mark_dirty(address, 1);
    return true;
}

void GuestMemory::unpatch(std::uint64_t address) noexcept {
    const std::lock_guard lock(patches_mutex_);
    const auto found = patches_.find(address);
    if (found == patches_.end()) return;
    if (const auto place = try_at(address, 1); place[0] == found->second.value) {
        place[0] = found->second.original;
        mark_dirty(address, 1);
    }
    patches_.erase(found);
    patch_count_ = patches_.size();
}

void GuestMemory::hide_patches(std::uint64_t address, std::span<std::byte> read) const noexcept {
    const std::lock_guard lock(patches_mutex_);
    for (auto it = patches_.lower_bound(address); it != patches_.end() && it->first - address < read.size(); ++it) {
        std::byte& shown = read[static_cast<std::size_t>(it->first - address)];
        if (shown == it->second.value) shown = it->second.original;
    }
}

/// What is written there now is the guest's own.
void GuestMemory::end_patches(std::uint64_t address, std::uint64_t size) noexcept {
    const std::lock_guard lock(patches_mutex_);
    std::erase_if(patches_, [address, size](const auto& patch) { return patch.first - address < size; });
    patch_count_ = patches_.size();
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
    if (patch_count_.load(std::memory_order_relaxed) != 0) [[unlikely]]
        end_patches(address, done);
    mark_dirty(address, done);
    return done;
}

void GuestMemory::zero(std::uint64_t address, std::uint64_t size) noexcept {
    const auto bytes = try_at(address, size);
    if (size == 0 || bytes.empty()) return;
    end_patches(address, size);
    // Whole pages go back to the host, which gives zeros for them; so memory that was never touched stays so.
    const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
    const auto first = std::min(round_up(begin, page_size), begin + size);
    const auto last = std::max(first, (begin + size) / page_size * page_size);
    if (release(first, last)) {
        std::memset(bytes.data(), 0, first - begin);
        if (begin + size > last) std::memset(bytes.data() + (last - begin), 0, begin + size - last);
    } else {
        // Reserved huge pages can't be given back in parts.
        std::memset(bytes.data(), 0, size);
    }
    mark_dirty(address, size);
}

void GuestMemory::give_back(std::uint64_t address, std::uint64_t size) noexcept {
    const auto bytes = try_at(address, size);
    if (size == 0 || bytes.empty()) return;
    const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
    const auto first = round_up(begin, page_size);
    const auto last = (begin + size) / page_size * page_size;
    if (first < last && release(first, last)) mark_dirty(address, size);
}

/// Whole pages, in host memory. False: the host does not take them.
bool GuestMemory::release(std::uintptr_t first, std::uintptr_t last) const noexcept {
    const int advice = options_.shared ? MADV_REMOVE : MADV_DONTNEED;
    return last == first || madvise(reinterpret_cast<void*>(first), last - first, advice) == 0;
}

void GuestMemory::clear() noexcept {
    for (const Region& region : regions_) zero(region.address, region.bytes.size());
}

void GuestMemory::start_dirty_log() {
    dirty_.clear();
    for (const Region& region : regions_) dirty_.emplace_back(round_up(region.bytes.size() / page_size, 64) / 64);
}

void GuestMemory::mark_dirty(std::uint64_t address, std::uint64_t size) noexcept {
    if (size == 0) return;
    if (observer_) observer_->written(address, size);
    for (std::size_t i = 0; i < dirty_.size(); ++i) {
        const Region& region = regions_[i];
        const std::uint64_t end = region.address + region.bytes.size();
        const std::uint64_t from = std::max(address, region.address);
        const std::uint64_t to = size > end - std::min(address, end) ? end : address + size;
        for (std::uint64_t at = from; at < to; at = (at / page_size + 1) * page_size) {
            const std::uint64_t page = (at - region.address) / page_size;
            dirty_[i][page / 64].fetch_or(std::uint64_t{1} << page % 64, std::memory_order_relaxed);
        }
    }
}

std::vector<std::uint64_t> GuestMemory::take_dirty_pages() {
    std::vector<std::uint64_t> pages;
    for (std::size_t i = 0; i < dirty_.size(); ++i) {
        for (std::size_t word = 0; word < dirty_[i].size(); ++word) {
            std::uint64_t bits = dirty_[i][word].exchange(0, std::memory_order_acq_rel);
            for (; bits != 0; bits &= bits - 1) {
                const auto page = word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
                pages.push_back(regions_[i].address + page * page_size);
            }
        }
    }
    return pages;
}

}  // namespace asyncvm
