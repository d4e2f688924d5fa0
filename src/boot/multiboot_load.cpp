#include "boot/multiboot_load.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace asyncvm::boot {

namespace {

constexpr std::uint64_t last_32 = 0xffff'ffff;

[[noreturn]] void refuse_multiboot(const std::string& message) { throw Error(ErrorKind::guest_image, message); }

/// Whether the kernel fits where it is linked.
bool fits(Space& space, const Elf& elf) {
    return std::ranges::all_of(elf.segments, [&](const ElfSegment& segment) {
        return space.is_ram(segment.physical_address, segment.memory_size) &&
               space.occupant(segment.physical_address, segment.memory_size).empty();
    });
}

/// How far a relocatable kernel has to be moved.
std::uint64_t find_shift(KernelLayout& layout, const Elf& elf, const MultibootHeader::Relocation& relocation) {
    if (fits(layout.space(), elf) && elf.last() <= last_32) return 0;
    // All of it at once, so that the segments keep their distances.
    const std::uint64_t size = elf.last() - elf.first() + 1;
    const auto at = size == 0 || size > last_32 ? std::nullopt
                                                : layout.space().find({.size = size,
                                                                       .alignment = relocation.alignment,
                                                                       .lowest = relocation.lowest,
                                                                       .last = relocation.last,
                                                                       .from_top = relocation.prefers_high});
    if (!at) {
        refuse_multiboot(fmt::format(
            "there is no room for {}, which needs {:#x} bytes at {:#x} or, aligned to {:#x}, between "
            "{:#x} and {:#x} (tag 10 of its Multiboot 2 header; raise --memory)",
            layout.request().kernel->name(), size, elf.first(), relocation.alignment, relocation.lowest, relocation.last));
    }
    return *at - elf.first();
}

}  // namespace

LoadedKernel load_multiboot(KernelLayout& layout, const MultibootHeader& header, std::string_view protocol) {
    const ImagePtr& image = layout.request().kernel;
    Plan& plan = layout.plan();
    LoadedKernel kernel;
    std::string kind = "flat";
    if (header.addresses) {
        const AddressFields& fields = *header.addresses;
        layout.add_kernel({.name = image->name(),
                           .address = fields.address,
                           .size = fields.size,
                           .image = image,
                           .offset = fields.offset,
                           .file_size = fields.file_size});
        kernel.first = fields.address;
        plan.entry.rip = header.entry.value_or(fields.address);
    } else {
        if (!is_elf(*image)) {
            refuse_multiboot(
                fmt::format("{} has a {} header at {:#x} without addresses, and is no ELF file: nothing says where "
                            "it goes",
                            image->name(), protocol, header.offset));
        }
        kernel.elf = read_elf(*image);
        kind = kernel.elf->kind();
        plan.facts = kernel.elf->facts();
        if (header.relocation) kernel.shift = find_shift(layout, *kernel.elf, *header.relocation);
        layout.add_segments(*kernel.elf, kernel.shift);
        kernel.first = kernel.elf->first() + kernel.shift;
        plan.entry.rip = header.entry.value_or(kernel.elf->physical_entry()) + kernel.shift;
    }
    if (plan.entry.rip > last_32) {
        refuse_multiboot(fmt::format("entry {:#x} of {} is out of reach for 32-bit code", plan.entry.rip, image->name()));
    }
    plan.entry.mode = Mode::protected32;
    layout.add_absent_bios();
    plan.description = fmt::format("{} kernel ({}), entered at {:#x}", protocol, kind, plan.entry.rip);
    plan.facts.push_back(fmt::format("{} header: at {:#x} in the file", protocol, header.offset));
    if (kernel.shift != 0) {
        plan.facts.push_back(fmt::format("moved: from {:#x} to {:#x}", kernel.elf->first(), kernel.first));
    }
    return kernel;
}

BasicMemory basic_memory(std::span<const MemoryRange> map) noexcept {
    std::uint64_t low = 0;
    std::uint64_t high = 1 << 20;
    for (const MemoryRange& range : map) {
        if (range.kind != MemoryKind::ram) continue;
        const std::uint64_t end = range.address + range.size;
        if (range.address <= low) low = std::max(low, end);
        if (range.address <= high) high = std::max(high, end);
    }
    const std::uint64_t upper = std::min<std::uint64_t>((high - (1 << 20)) >> 10, last_32);
    return {static_cast<std::uint32_t>(std::min<std::uint64_t>(low >> 10, 640)), static_cast<std::uint32_t>(upper)};
}

}  // namespace asyncvm::boot
