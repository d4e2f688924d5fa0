/// ELF files without a boot protocol, and with PVH's.
#include "boot/elf.hpp"
#include "boot/fields.hpp"
#include "boot/formats.hpp"
#include "boot/kernel_layout.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace asyncvm::boot {

namespace {

constexpr std::uint64_t four_gib = 0x1'0000'0000;

[[noreturn]] void refuse_elf(const std::string& message) { throw Error(ErrorKind::guest_image, message); }

/// What a kernel without a boot protocol can't be told.
void check_no_protocol(const Request& request) {
    const char* given = !request.modules.empty()        ? "--module"
                        : request.initrd != nullptr     ? "--initrd"
                        : !request.command_line.empty() ? "--append"
                                                        : nullptr;
    if (given == nullptr) return;
    refuse_elf(
        fmt::format("{} is an ELF file without a Multiboot header or a PVH note: no protocol says how it is told of {}",
                    request.kernel->name(), given));
}

/// Lines about what can't work, as far as the headers show it.
void explain(const Elf& elf, const Image& image, Plan& plan) {
    const std::uint64_t entry = plan.entry.rip;
    if (entry != elf.entry) {
        plan.notes.push_back(fmt::format(
            "entry {0:#x} of {1} is a virtual address: it is entered at {2:#x}, where those bytes are, with the memory "
            "mapped "
            "one to one. Code that uses its virtual addresses before it has page tables of its own can't work (link it so "
            "that its entry is physical, or give it a Multiboot header or a PVH note)",
            elf.entry, image.name(), entry));
    } else if (!elf.occupies(entry)) {
        plan.notes.push_back(fmt::format("entry {:#x} (e_entry) is in no segment of {}", entry, image.name()));
    }
    for (const ElfSegment& segment : elf.segments) {
        if (segment.physical_address + (segment.memory_size - 1) < four_gib) continue;
        plan.notes.push_back(fmt::format(
            "segment {} of {} is above 4 GiB, at {:#x}: {}", segment.index, image.name(), segment.physical_address,
            elf.x86_64 ? "only the first 4 GiB are mapped at the start" : "32-bit code does not reach it without paging"));
    }
    if (elf.position_independent) {
        plan.notes.push_back(
            fmt::format("{} is position-independent (ET_DYN): it is placed where its program headers say, and not relocated",
                        image.name()));
    }
}

constexpr std::uint32_t start_info_magic = 0x336e'c578;
constexpr std::uint64_t start_info_size = 56;
constexpr std::uint64_t module_entry_size = 32;

/// struct hvm_start_info, version 1, and what it points to (Xen, public/arch-x86/hvm/start_info.h).
std::vector<std::byte> start_info(std::uint64_t base, const KernelLayout& layout, const std::vector<PlacedModule>& modules) {
    const Surroundings& around = layout.surroundings();
    TableBytes map;
    for (const MemoryRange& range : around.map) {
        map.add(range.address);
        map.add(range.size);
        map.add(static_cast<std::uint32_t>(range.kind));
        map.add(std::uint32_t{0});
    }
    const std::uint64_t list_at = base + start_info_size;
    const std::uint64_t map_at = list_at + modules.size() * module_entry_size;
    TableBytes texts;
    const std::uint64_t texts_at = map_at + map.size();
    texts.add_text(layout.request().command_line);
    TableBytes list;
    for (const PlacedModule& module : modules) {
        list.add(module.address);
        list.add(module.size);
        list.add(texts_at + texts.size());
        list.add(std::uint64_t{0});
        texts.add_text(module.command_line);
    }
    TableBytes info;
    info.add(start_info_magic);
    info.add(std::uint32_t{1});  // version
    info.add(std::uint32_t{0});  // flags
    info.add(static_cast<std::uint32_t>(modules.size()));
    info.add(modules.empty() ? std::uint64_t{0} : list_at);
    info.add(texts_at);
    info.add(around.rsdp);
    info.add(map_at);
    info.add(static_cast<std::uint32_t>(around.map.size()));
    info.add(std::uint32_t{0});
    info.add(list.bytes());
    info.add(map.bytes());
    info.add(texts.bytes());
    return std::move(info.bytes());
}

}  // namespace

Plan plan_elf(const Request& request, const Surroundings& around) {
    const Image& image = *request.kernel;
    const Elf elf = read_elf(image);
    if (elf.interpreter) {
        refuse_elf(
            fmt::format("{} is a program for an operating system (it has a PT_INTERP): link it as a kernel, with "
                        "-static -nostdlib",
                        image.name()));
    }
    check_no_protocol(request);
    Plan plan;
    plan.format = BootFormat::elf;
    KernelLayout layout(request, around, plan);
    layout.add_segments(elf);
    plan.entry.mode = elf.x86_64 ? Mode::long64 : Mode::protected32;
    plan.entry.rip = elf.physical_entry();
    if (plan.entry.rip >= four_gib) {
        refuse_elf(
            fmt::format("entry {:#x} of {} is out of reach: it must be below 4 GiB, which are mapped at the start (link "
                        "it so that its entry is physical, or give it a Multiboot header or a PVH note)",
                        elf.entry, image.name()));
    }
    plan.description =
        fmt::format("{} kernel, entered at {:#x} in {}-bit mode", elf.kind(), plan.entry.rip, elf.x86_64 ? 64 : 32);
    plan.facts = elf.facts();
    explain(elf, image, plan);
    return plan;
}

Plan plan_pvh(const Request& request, const Surroundings& around) {
    const Image& image = *request.kernel;
    const Elf elf = read_elf(image);
    const auto entry = pvh_entry(elf);
    if (!entry) {
        refuse_elf(fmt::format("{} has no PVH entry: no note of type 18 and of 4 or 8 bytes by the name Xen", image.name()));
    }
    if (*entry >= four_gib) {
        refuse_elf(fmt::format("the PVH entry of {} is {:#x}, out of reach for 32-bit code", image.name(), *entry));
    }
    Plan plan;
    plan.format = BootFormat::pvh;
    KernelLayout layout(request, around, plan);
    layout.add_segments(elf);
    const auto modules = layout.add_modules(true);
    plan.entry.rip = *entry;
    plan.entry.mode = Mode::protected32;
    plan.entry.rbx = layout.add_table("the start info", [&](std::uint64_t at) { return start_info(at, layout, modules); });
    plan.entry.rsp = layout.add_stack();
    plan.description = fmt::format("{} kernel with a PVH entry at {:#x}", elf.kind(), *entry);
    plan.facts = elf.facts();
    plan.facts.push_back(fmt::format("PVH entry: {:#x}", *entry));
    if (!elf.occupies(*entry)) {
        plan.notes.push_back(fmt::format("the PVH entry {:#x} is in no segment of {}", *entry, image.name()));
    }
    return plan;
}

}  // namespace asyncvm::boot
