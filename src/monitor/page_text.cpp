#include "monitor/page_text.hpp"

#include "x86/paging.hpp"
#include "x86/table_walk.hpp"

#include <fmt/format.h>

#include <iterator>
#include <string_view>

namespace asyncvm::monitor {

namespace {

constexpr std::string_view no_paging = "PG disabled\n";

std::string left_out(const ListingLimits& limits, std::size_t lines) {
    if (lines == limits.lines) return fmt::format("there may be more: these are the first {} lines\n", lines);
    return fmt::format("there may be more: {} entries of page tables have been looked at\n", limits.entries);
}

/// Pages that follow each other and have the same rights. Where they lie in physical memory does not matter.
struct Range {
    std::uint64_t first = 0;
    std::uint64_t size = 0;
    bool writable = false;
    bool user = false;

    [[nodiscard]] bool goes_on_with(const MappedPage& page) const noexcept {
        return size != 0 && first + size == page.linear && writable == page.writable && user == page.user;
    }
};

std::string line_of(const Range& range) {
    const std::uint64_t end = range.first + range.size;
    // The last page ends where 64 bits end.
    const std::string last = end == 0 ? fmt::format("1{:016x}", end) : fmt::format("{:016x}", end);
    return fmt::format("{:016x}-{} {:016x} {}r{}\n", range.first, last, range.size, range.user ? 'u' : '-',
                       range.writable ? 'w' : '-');
}

void append_line(std::string& text, const MappedPage& page) {
    constexpr std::string_view names = "XGPDACTUW";
    constexpr unsigned bits[] = {63, 8, 7, 6, 5, 4, 3, 2, 1};
    // In an entry of 4 KiB the bit of a large page is one of the memory type's.
    const std::uint64_t entry = page.size == GuestMemory::page_size ? page.entry & ~Paging::large : page.entry;
    char flags[names.size()];
    for (std::size_t i = 0; i < names.size(); ++i) flags[i] = (entry >> bits[i] & 1) != 0 ? names[i] : '-';
    fmt::format_to(std::back_inserter(text), "{:016x}: {:016x} {}\n", page.linear, page.physical,
                   std::string_view(flags, names.size()));
}

}  // namespace

std::string walk_text(const PageWalk& walk, std::uint64_t linear) {
    switch (walk.status) {
        case PageWalk::Status::mapped:
            return fmt::format("{:#x} is at {:#x}, in a page of {} KiB{}\n", linear, walk.physical, walk.page_size / 1024,
                               walk.level == 0 ? " (no paging)" : "");
        case PageWalk::Status::not_present:
            return fmt::format("{:#x} is not mapped: its entry in the table of level {} is not present\n", linear,
                               walk.level);
        case PageWalk::Status::not_canonical:
            return fmt::format("{:#x} is no canonical address\n", linear);
        case PageWalk::Status::table_outside:
            break;
    }
    return fmt::format("{:#x} is not mapped: the table of level {} is where there is no memory\n", linear, walk.level);
}

std::string ranges_text(const GuestMemory& memory, const Registers& registers, ListingLimits limits) {
    TableWalk walk(memory, registers, limits.entries);
    if (!walk.paging()) return std::string(no_paging);
    std::string text;
    std::size_t lines = 0;
    Range range;
    const bool complete = walk.pages([&](const MappedPage& page) {
        if (range.goes_on_with(page)) {
            range.size += page.size;
            return true;
        }
        if (range.size != 0) {
            text += line_of(range);
            ++lines;
        }
        range = {.first = page.linear, .size = page.size, .writable = page.writable, .user = page.user};
        return lines < limits.lines;
    });
    if (range.size != 0 && lines < limits.lines) text += line_of(range);
    return complete ? text : text + left_out(limits, lines);
}

std::string pages_text(const GuestMemory& memory, const Registers& registers, ListingLimits limits) {
    TableWalk walk(memory, registers, limits.entries);
    if (!walk.paging()) return std::string(no_paging);
    std::string text;
    std::size_t lines = 0;
    const bool complete = walk.pages([&](const MappedPage& page) {
        if (lines == limits.lines) return false;
        append_line(text, page);
        ++lines;
        return true;
    });
    return complete ? text : text + left_out(limits, lines);
}

}  // namespace asyncvm::monitor
