/// Multiboot 1 kernels. Multiboot specification 0.6.96.
#include "boot/elf_sections.hpp"
#include "boot/fields.hpp"
#include "boot/formats.hpp"
#include "boot/kernel_layout.hpp"
#include "boot/multiboot_header.hpp"
#include "boot/multiboot_load.hpp"

#include <fmt/format.h>

namespace asyncvm::boot {

namespace {

constexpr std::uint32_t loaded_by_multiboot = 0x2bad'b002;
constexpr std::uint32_t flag_video = 1U << 2;
/// With all fields up to the framebuffer's, which are 0.
constexpr std::uint64_t information_size = 120;

/// Bits of the information's flags: each says that a field is there.
constexpr std::uint32_t has_memory = 1U << 0;
constexpr std::uint32_t has_command_line = 1U << 2;
constexpr std::uint32_t has_modules = 1U << 3;
constexpr std::uint32_t has_elf_sections = 1U << 5;
constexpr std::uint32_t has_memory_map = 1U << 6;
constexpr std::uint32_t has_loader_name = 1U << 9;

/// The structure and, behind it, what it points to (specification, 3.3).
std::vector<std::byte> information(std::uint64_t base, const KernelLayout& layout, const std::vector<PlacedModule>& modules,
                                   const std::optional<SectionTable>& sections) {
    TableBytes table;
    table.bytes().resize(information_size);
    const auto here = [&] { return static_cast<std::uint32_t>(base + table.size()); };
    const auto set = [&](std::uint64_t offset, std::uint32_t value) { set_field(std::span(table.bytes()), offset, value); };
    std::uint32_t flags = has_memory | has_command_line | has_modules | has_memory_map | has_loader_name;

    const auto memory = basic_memory(layout.surroundings().map);
    set(4, memory.lower);
    set(8, memory.upper);
    set(16, here());
    table.add_text(layout.command_line());
    set(64, here());
    table.add_text(loader_name);

    std::vector<std::uint32_t> texts;
    for (const PlacedModule& module : modules) {
        texts.push_back(here());
        table.add_text(module.command_line);
    }
    table.align(8);
    set(20, static_cast<std::uint32_t>(modules.size()));
    set(24, here());
    for (std::size_t i = 0; i < modules.size(); ++i) {
        table.add(static_cast<std::uint32_t>(modules[i].address));
        table.add(static_cast<std::uint32_t>(modules[i].address + modules[i].size));
        table.add(texts[i]);
        table.add(std::uint32_t{0});
    }

    set(48, here());
    for (const MemoryRange& range : layout.surroundings().map) {
        table.add(std::uint32_t{20});  // bytes of the entry behind this field
        table.add(range.address);
        table.add(range.size);
        table.add(static_cast<std::uint32_t>(range.kind));
    }
    set(44, static_cast<std::uint32_t>(layout.surroundings().map.size() * 24));

    if (sections) {
        flags |= has_elf_sections;
        table.align(8);
        set(28, sections->count);
        set(32, sections->entry_size);
        set(36, here());
        set(40, sections->names);
        table.add(sections->bytes);
    }
    set(0, flags);
    return std::move(table.bytes());
}

}  // namespace

Plan plan_multiboot(const Request& request, const Surroundings& around) {
    const MultibootHeader header = read_multiboot(*request.kernel);
    Plan plan;
    plan.format = BootFormat::multiboot;
    KernelLayout layout(request, around, plan);
    const LoadedKernel kernel = load_multiboot(layout, header, "Multiboot");
    const auto modules = layout.add_modules(false);
    const auto sections = kernel.elf ? place_sections(layout, *kernel.elf) : std::nullopt;
    plan.entry.rax = loaded_by_multiboot;
    plan.entry.rbx = layout.add_table("the Multiboot information",
                                      [&](std::uint64_t at) { return information(at, layout, modules, sections); });
    plan.entry.rsp = layout.add_stack();
    plan.facts.push_back(fmt::format("Multiboot flags: {:#x}", header.flags));
    if ((header.flags & flag_video) != 0) {
        plan.notes.push_back(
            fmt::format("{} asks for a video mode (bit 2 of its Multiboot flags): there is no video here, and "
                        "the information says so",
                        request.kernel->name()));
    }
    return plan;
}

}  // namespace asyncvm::boot
