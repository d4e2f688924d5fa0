/// The guest's RAM: guest-physical addresses to host memory, every access checked.
#pragma once

#include <asyncvm/log.hpp>

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace asyncvm {

enum class HugePages : std::uint8_t {
    off,       ///< pages of 4 KiB: the least memory and the fastest start for a guest that touches little
    on,        ///< aligned to 2 MiB, and the kernel is asked for huge pages: far fewer exits for a guest that touches much
    reserved,  ///< only of the pages that the host has set aside (vm.nr_hugepages)
};

/// What backs a guest's RAM.
struct MemoryOptions {
    HugePages huge_pages = HugePages::off;
    /// A memfd that another process can map as well (GuestMemory::Region::fd). Otherwise anonymous memory of this process.
    bool shared = false;
    Log log{};  ///< is told when the host does not give what was asked for
};

/// Hears of each write of this process, not of the guest, to the guest's memory. An accelerator that keeps translations of
/// the guest's code needs it.
class MemoryObserver {
public:
    MemoryObserver() = default;
    MemoryObserver(const MemoryObserver&) = delete;
    MemoryObserver& operator=(const MemoryObserver&) = delete;
    virtual ~MemoryObserver() = default;

    /// Any thread, after the bytes are there. `size` is not 0.
    virtual void written(std::uint64_t address, std::uint64_t size) noexcept = 0;
};

/// RAM from 0 up to 3 GiB, the rest from 4 GiB on, as on a PC. Pages are taken when they are touched first: memory that the
/// guest never touches costs nothing, and may be more than the host has. But a guest that touches more than the host can
/// give ends this process (the kernel's OOM killer; with reserved huge pages all are taken at once, or refused).
class GuestMemory {
public:
    struct Region {
        std::uint64_t address = 0;     ///< guest-physical, page-aligned
        std::span<std::byte> bytes{};  ///< host memory
        std::string name;              ///< for messages: "ram", "boot tables"
        int fd = -1;                   ///< where the bytes are for other processes; -1: nowhere
        std::uint64_t offset = 0;      ///< of the bytes, in `fd`
    };

    static constexpr std::uint64_t page_size = 4096;
    static constexpr std::uint64_t low_limit = 0xc000'0000;         ///< RAM below ends here
    static constexpr std::uint64_t high_base = 0x1'0000'0000;       ///< and goes on here
    static constexpr std::uint64_t boot_tables_base = 0xfffb'0000;  ///< see boot_tables()
    static constexpr std::uint64_t boot_tables_size = 0x8000;
    /// The accelerator's own: one page for KVM's identity map, three for its task state segment, or Unicorn's start-up code.
    static constexpr std::uint64_t accelerator_pages_base = 0xfffb'c000;
    static constexpr std::uint64_t accelerator_pages_size = 0x4000;
    static constexpr std::uint64_t firmware_end = high_base;  ///< see firmware()
    static constexpr std::uint64_t most_firmware = 0x4'0000;  ///< bytes: the accelerator's pages are below

    /// `ram_size` in bytes: a multiple of the page size, at least one page. Throws Error(host) if it can't be reserved.
    /// Error(host) says what to do.
    explicit GuestMemory(std::uint64_t ram_size, const MemoryOptions& options = {});
    ~GuestMemory();
    GuestMemory(const GuestMemory&) = delete;
    GuestMemory& operator=(const GuestMemory&) = delete;

    /// What lies in the addresses from `first` to `last` of a machine with `ram_size` bytes of RAM and, if `boot_tables`,
    /// boot tables: words for a message ("the guest's RAM"), or an empty text. Pure.
    [[nodiscard]] static std::string_view occupant(std::uint64_t first, std::uint64_t last, std::uint64_t ram_size,
                                                   bool boot_tables) noexcept;

    /// Bytes of RAM, without the boot tables.
    [[nodiscard]] std::uint64_t ram_size() const noexcept { return ram_size_; }

    /// In the order of their addresses; the boot tables, if there are any, are one of them.
    [[nodiscard]] const std::vector<Region>& regions() const noexcept { return regions_; }

    /// A small region outside the RAM, for the GDT and the page tables that --mode 32 and 64 start with, so that the whole
    /// RAM is the guest's. Made at the first call.
    std::span<std::byte> boot_tables();

    /// The `size` bytes below 4 GiB, where a processor starts after a reset: a region of its own, which the guest can write.
    /// A multiple of the page size, `most_firmware` at most. Made at the first call, all of which have the same size.
    std::span<std::byte> firmware(std::uint64_t size);

    /// Host memory behind [address, address + size), if all of it is in one region; otherwise an empty span.
    [[nodiscard]] std::span<std::byte> try_at(std::uint64_t address, std::uint64_t size) const noexcept;

    /// Copies as much as there is memory for, from `address` on, across regions; returns how much that was.
    std::size_t read(std::uint64_t address, std::span<std::byte> to) const noexcept;
    std::size_t write(std::uint64_t address, std::span<const std::byte> from) noexcept;

    /// Puts a debugger's byte in place of the guest's own until unpatch(). The guest sees it, read() does not: it shows what
    /// was there, and write() ends it. False where there is no memory, or such a byte already. Any thread.
    bool patch(std::uint64_t address, std::byte value);
    /// The guest gets its own byte back, unless it has written another one.
    void unpatch(std::uint64_t address) noexcept;

    /// Makes [address, address + size) zeros, which must be in one region, and gives whole pages back to the host. While the
    /// guest does not run.
    void zero(std::uint64_t address, std::uint64_t size) noexcept;

    /// The guest does not need [address, address + size), which must be in one region: its whole pages go back to the host
    /// and hold zeros when they are touched again. Where the host can't take them they keep what they hold. Any thread, also
    /// while the guest runs.
    void give_back(std::uint64_t address, std::uint64_t size) noexcept;

    /// All of the guest's memory holds zeros again, as at its start, and is given back to the host. While the guest does not
    /// run.
    void clear() noexcept;

    /// For what guest and monitor share, such as the indices of a ring: one access, ordered after a load and before a store
    /// of the other side. Nothing, or false, where there is no memory or `address` is no multiple of the size. Any thread.
    template <std::unsigned_integral T>
    [[nodiscard]] std::optional<T> load_acquire(std::uint64_t address) const noexcept {
        auto* const place = atomic_place<T>(address);
        if (place == nullptr) return std::nullopt;
        return std::atomic_ref(*place).load(std::memory_order_acquire);
    }
    template <std::unsigned_integral T>
    bool store_release(std::uint64_t address, T value) noexcept {
        auto* const place = atomic_place<T>(address);
        if (place == nullptr) return false;
        std::atomic_ref(*place).store(value, std::memory_order_release);
        mark_dirty(address, sizeof(T));
        return true;
    }

    /// From now on write() and store_release() note the pages that they write: KVM knows only of the guest's own writes.
    /// Before other threads use the memory; boot_tables() comes before it.
    void start_dirty_log();
    /// write() and store_release() do it themselves; code that writes through try_at() calls it afterwards: so the log, and
    /// an accelerator that has translated code from there, know of it. Any thread.
    void mark_dirty(std::uint64_t address, std::uint64_t size) noexcept;
    /// `observer` hears of writes from now on, in place of the one before. Before other threads use the memory.
    void observe(std::shared_ptr<MemoryObserver> observer) const noexcept { observer_ = std::move(observer); }
    /// The guest-physical addresses of the pages that were written since the last call, in order. Any thread.
    [[nodiscard]] std::vector<std::uint64_t> take_dirty_pages();

private:
    struct Mapping {
        std::byte* host;
        std::uint64_t size;
        int fd;
    };

    void map(std::uint64_t address, std::uint64_t size, std::string name, HugePages huge_pages);
    [[nodiscard]] Mapping map_host(std::uint64_t size, HugePages huge_pages, const std::string& name) const;
    void unmap_all() noexcept;
    [[nodiscard]] bool release(std::uintptr_t first, std::uintptr_t last) const noexcept;
    template <typename T>
    [[nodiscard]] T* atomic_place(std::uint64_t address) const noexcept {
        if (address % sizeof(T) != 0) return nullptr;
        return reinterpret_cast<T*>(try_at(address, sizeof(T)).data());
    }

    struct Patch {
        std::byte value{};
        std::byte original{};
    };
    void hide_patches(std::uint64_t address, std::span<std::byte> read) const noexcept;
    void end_patches(std::uint64_t address, std::uint64_t size) noexcept;

    mutable std::mutex patches_mutex_;
    std::map<std::uint64_t, Patch> patches_;   ///< by address; under patches_mutex_
    std::atomic<std::size_t> patch_count_{0};  ///< what is there to look for

    std::uint64_t ram_size_;
    MemoryOptions options_;
    std::vector<Mapping> mappings_;
    /// For each region, in their order, a bit a page; empty without a log.
    std::vector<std::vector<std::atomic<std::uint64_t>>> dirty_;
    std::vector<Region> regions_;
    mutable std::shared_ptr<MemoryObserver> observer_;
};

}  // namespace asyncvm
