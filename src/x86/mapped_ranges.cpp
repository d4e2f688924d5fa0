#include "x86/mapped_ranges.hpp"

#include "x86/table_walk.hpp"

namespace asyncvm {

MappedRanges mapped_ranges(const GuestMemory& memory, const Registers& registers, std::size_t most,
                           std::uint64_t most_entries) {
    MappedRanges ranges;
    TableWalk walk(memory, registers, most_entries);
    const bool complete = walk.pages([&ranges, most](const MappedPage& page) {
        if (!ranges.all.empty()) {
            MappedRange& last = ranges.all.back();
            if (last.linear + last.size == page.linear && last.physical + last.size == page.physical) {
                last.size += page.size;
                return true;
            }
        }
        if (ranges.all.size() == most) return false;
        ranges.all.push_back({page.linear, page.physical, page.size});
        return true;
    });
    ranges.cut = !complete;
    return ranges;
}

}  // namespace asyncvm
