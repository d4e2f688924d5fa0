#include "vmcore/dump.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "vmcore/core_file.hpp"
#include "vmcore/present_pages.hpp"
#include "vmcore/vmcoreinfo.hpp"
#include "x86/mapped_ranges.hpp"

namespace asyncvm::vmcore {

namespace {

constexpr std::size_t most_mappings = 60'000;
constexpr std::uint64_t piece = 1 << 20;  ///< bytes of memory at a time

std::vector<Range> ranges_of(const GuestMemory& memory, const std::optional<Range>& only) {
    std::vector<Range> all;
    for (const auto& region : memory.regions()) {
        std::uint64_t begin = region.address;
        std::uint64_t end = region.address + region.bytes.size();
        if (only) {
            begin = std::max(begin, only->first);
            // A size that is too big for an address means: to the end.
            if (only->first + only->size >= only->first) end = std::min(end, only->first + only->size);
        }
        if (begin < end) all.push_back({begin, end - begin});
    }
    return all;
}

awaitable<std::vector<Thread>> threads_of(Machine& machine, const Request& request) {
    std::vector<Thread> threads(machine.cpus());
    for (unsigned cpu = 0; cpu < machine.cpus(); ++cpu) {
        // Shared: the work may come when the wait for it has been given up.
        const auto found = std::make_shared<Thread>();
        std::function<void(Cpu&)> look = [found](Cpu& from) {
            found->registers = from.registers();
            found->fpu = from.fpu_registers();
        };
        co_await machine.call(cpu, std::move(look));
        threads[cpu] = *found;
        if (cpu == request.cpu) threads[cpu].signal = request.signal;
    }
    co_return threads;
}

/// What is present of `range`, which is in one region.
void write_range(CoreFile& file, const GuestMemory& memory, const PresentPages& present, const Range& range,
                 std::uint64_t offset) {
    const auto& regions = memory.regions();
    const auto region = std::ranges::find_if(regions, [&](const GuestMemory::Region& one) {
        return range.first >= one.address && range.first - one.address < one.bytes.size();
    });
    const std::uint64_t begin = range.first - region->address;
    const std::uint64_t end = begin + range.size;
    const std::uint64_t first = begin / page_size * page_size;
    const std::uint64_t last = std::min<std::uint64_t>((end + page_size - 1) / page_size * page_size, region->bytes.size());
    for (const auto& extent : present.in(*region, first, last - first)) {
        const auto from = std::max(extent.offset, begin);
        const auto to = std::min(extent.offset + extent.size, end);
        file.write(offset + (from - begin), region->bytes.subspan(from, to - from));
    }
}

/// The note that a Linux in this memory has for dumps; empty: there is none. It may be in any page that holds something.
awaitable<std::vector<std::byte>> find_vmcoreinfo(const GuestMemory& memory, const PresentPages& present) {
    const auto executor = co_await asio::this_coro::executor;
    for (const auto& region : memory.regions()) {
        for (std::uint64_t at = 0; at < region.bytes.size(); at += piece) {
            for (const auto& extent : present.in(region, at, std::min<std::uint64_t>(piece, region.bytes.size() - at))) {
                for (std::uint64_t page = 0; page < extent.size; page += page_size) {
                    auto note = vmcoreinfo_at(memory, region.address + extent.offset + page);
                    if (!note.empty()) co_return note;
                }
            }
            co_await asio::post(executor, use_awaitable);
        }
    }
    co_return std::vector<std::byte>();
}

}  // namespace

awaitable<Dumped> dump(Machine& machine, Request request, std::function<void(Progress)> told) {
    const auto executor = co_await asio::this_coro::executor;
    const GuestMemory& memory = machine.memory();
    const auto ranges = ranges_of(memory, request.only);
    if (ranges.empty()) throw Error(ErrorKind::usage, "dump: no guest memory to dump");
    CoreFile file(request.path);
    const auto threads = co_await threads_of(machine, request);
    MappedRanges mapped;
    if (request.paging) mapped = mapped_ranges(memory, threads.at(request.cpu).registers, most_mappings);
    const PresentPages present;
    const auto vmcoreinfo = co_await find_vmcoreinfo(memory, present);
    const Layout layout = lay_out(threads, ranges, mapped.all, vmcoreinfo);
    Progress progress;
    for (const Range& range : ranges) progress.total += range.size;
    file.write(0, layout.head);
    for (const Layout::Part& part : layout.parts) {
        for (std::uint64_t done = 0; done < part.memory.size;) {
            const auto size = std::min(piece, part.memory.size - done);
            write_range(file, memory, present, {part.memory.first + done, size}, part.offset + done);
            done += size;
            progress.done += size;
            if (told) told(progress);
            co_await asio::post(executor, use_awaitable);
        }
    }
    file.complete(layout.size);
    Dumped dumped;
    dumped.total = progress.total;
    dumped.cut = mapped.cut || layout.left_out != 0;
    co_return dumped;
}

}  // namespace asyncvm::vmcore
