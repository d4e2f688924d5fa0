#include "x86/mapped_ranges.hpp"

#include <cstring>
#include <utility>

#include "x86/paging.hpp"

namespace asyncvm {

namespace {

class Collector {
public:
    Collector(const GuestMemory& memory, const Paging& paging, std::size_t most, std::uint64_t most_entries)
        : memory_(memory), paging_(paging), most_(most), entries_left_(most_entries) {}

    /// `linear`: of the table's first entry, without its sign.
    void take(std::uint64_t table, unsigned level, std::uint64_t linear) {
        // PAE's top table has four entries.
        const bool short_table = paging_.levels == 3 && level == 3;
        const std::uint64_t entries = short_table ? 4 : std::uint64_t{1} << paging_.index_bits;
        const auto bytes = memory_.try_at(table, entries * paging_.entry_size);
        if (bytes.empty()) return;
        const std::uint64_t step = std::uint64_t{1} << paging_.shift(level);
        for (std::uint64_t i = 0; i < entries && !ranges.cut; ++i, linear += step) {
            if (entries_left_ == 0) {
                ranges.cut = true;
                return;
            }
            --entries_left_;
            std::uint64_t entry = 0;
            std::memcpy(&entry, bytes.data() + i * paging_.entry_size, paging_.entry_size);
            if ((entry & Paging::present) == 0) continue;
            if (paging_.is_page(level, entry)) {
                add(linear, paging_.page(entry, step), step);
            } else {
                take(paging_.table(entry), level - 1, linear);
            }
        }
    }

    MappedRanges ranges;

private:
    void add(std::uint64_t linear, std::uint64_t physical, std::uint64_t size) {
        if (paging_.levels >= 4) {
            const unsigned unused = 64 - (12 + 9 * paging_.levels);
            linear = static_cast<std::uint64_t>(static_cast<std::int64_t>(linear << unused) >> unused);
        }
        if (!ranges.all.empty()) {
            MappedRange& last = ranges.all.back();
            if (last.linear + last.size == linear && last.physical + last.size == physical) {
                last.size += size;
                return;
            }
        }
        if (ranges.all.size() == most_) {
            ranges.cut = true;
            return;
        }
        ranges.all.push_back({linear, physical, size});
    }

    const GuestMemory& memory_;
    const Paging paging_;
    const std::size_t most_;
    std::uint64_t entries_left_;
};

}  // namespace

MappedRanges mapped_ranges(const GuestMemory& memory, const Registers& registers, std::size_t most,
                           std::uint64_t most_entries) {
    const Paging paging = Paging::of(registers);
    if (paging.levels == 0) return {};
    Collector collector(memory, paging, most, most_entries);
    collector.take(paging.root, paging.levels, 0);
    return std::move(collector.ranges);
}

}  // namespace asyncvm
