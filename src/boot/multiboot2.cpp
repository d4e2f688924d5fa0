/// Multiboot 2 kernels. Multiboot 2 specification 2.0.
#include "boot/elf_sections.hpp"
#include "boot/fields.hpp"
#include "boot/formats.hpp"
#include "boot/kernel_layout.hpp"
#include "boot/multiboot_header.hpp"
#include "boot/multiboot_load.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace asyncvm::boot {

namespace {

constexpr std::uint32_t loaded_by_multiboot2 = 0x36d7'6289;

/// Types of the information's tags (specification, 3.4).
enum : std::uint32_t {
    tag_end = 0,
    tag_command_line = 1,
    tag_loader_name = 2,
    tag_module = 3,
    tag_basic_memory = 4,
    tag_memory_map = 6,
    tag_elf_sections = 9,
    tag_old_rsdp = 14,
    tag_new_rsdp = 15,
    tag_load_base = 21,
};

class TagList {
public:
    TagList() { table_.bytes().resize(8); }

    /// `content` is what follows the tag's type and size.
    void add(std::uint32_t type, TableBytes content = {}) {
        table_.add(type);
        table_.add(static_cast<std::uint32_t>(8 + content.size()));
        table_.add(content.bytes());
        table_.align(8);
        types_.push_back(type);
    }

    void add_text(std::uint32_t type, std::string_view text) {
        TableBytes content;
        content.add_text(text);
        add(type, std::move(content));
    }

    [[nodiscard]] bool has(std::uint32_t type) const { return std::ranges::find(types_, type) != types_.end(); }

    [[nodiscard]] std::vector<std::byte> finish() {
        add(tag_end);
        set_field(std::span(table_.bytes()), 0, static_cast<std::uint32_t>(table_.size()));
        return std::move(table_.bytes());
    }

private:
    TableBytes table_;
    std::vector<std::uint32_t> types_;
};

/// The first `size` bytes of the RSDP, from the board's tables; empty: it has none there.
std::span<const std::byte> rsdp_bytes(const Surroundings& around, std::uint64_t size) {
    if (around.rsdp == 0) return {};
    for (const Piece& table : around.tables) {
        if (around.rsdp < table.address) continue;
        const std::uint64_t offset = around.rsdp - table.address;
        if (offset <= table.bytes.size() && size <= table.bytes.size() - offset) {
            return std::span(table.bytes).subspan(offset, size);
        }
    }
    return {};
}

void add_rsdp(TagList& tags, const Surroundings& around) {
    constexpr std::uint64_t old_size = 20;
    constexpr std::uint64_t new_size = 36;
    const auto old_rsdp = rsdp_bytes(around, old_size);
    if (old_rsdp.empty()) return;
    TableBytes old_content;
    old_content.add(old_rsdp);
    tags.add(tag_old_rsdp, std::move(old_content));
    const auto new_rsdp = rsdp_bytes(around, new_size);
    if (new_rsdp.empty() || field_at<std::uint8_t>(new_rsdp, 15) < 2) return;
    TableBytes new_content;
    new_content.add(new_rsdp);
    tags.add(tag_new_rsdp, std::move(new_content));
}

void add_memory(TagList& tags, std::span<const MemoryRange> map) {
    const auto memory = basic_memory(map);
    TableBytes basic;
    basic.add(memory.lower);
    basic.add(memory.upper);
    tags.add(tag_basic_memory, std::move(basic));
    TableBytes entries;
    entries.add(std::uint32_t{24});  // bytes of an entry
    entries.add(std::uint32_t{0});   // their version
    for (const MemoryRange& range : map) {
        entries.add(range.address);
        entries.add(range.size);
        entries.add(static_cast<std::uint32_t>(range.kind));
        entries.add(std::uint32_t{0});
    }
    tags.add(tag_memory_map, std::move(entries));
}

void add_sections_tag(TagList& tags, const SectionTable& sections) {
    TableBytes content;
    content.add(sections.count);
    content.add(sections.entry_size);
    content.add(sections.names);
    content.add(sections.bytes);
    tags.add(tag_elf_sections, std::move(content));
}

TagList list_tags(const KernelLayout& layout, const LoadedKernel& kernel, const std::vector<PlacedModule>& modules,
                  const std::optional<SectionTable>& sections) {
    TagList tags;
    tags.add_text(tag_command_line, layout.command_line());
    tags.add_text(tag_loader_name, loader_name);
    for (const PlacedModule& module : modules) {
        TableBytes content;
        content.add(static_cast<std::uint32_t>(module.address));
        content.add(static_cast<std::uint32_t>(module.address + module.size));
        content.add_text(module.command_line);
        tags.add(tag_module, std::move(content));
    }
    add_memory(tags, layout.surroundings().map);
    if (sections) add_sections_tag(tags, *sections);
    add_rsdp(tags, layout.surroundings());
    TableBytes base;
    base.add(static_cast<std::uint32_t>(kernel.first));
    tags.add(tag_load_base, std::move(base));
    return tags;
}

void check_required(const MultibootHeader& header, const TagList& tags, const Image& image) {
    for (const std::uint32_t type : header.required) {
        // No module is an answer, too.
        if (type == tag_module || type == tag_end || tags.has(type)) continue;
        throw Error(ErrorKind::guest_image,
                    fmt::format("{} requires information tag {} (tag 1 of its Multiboot 2 header), which can't be given{}",
                                image.name(), type,
                                type == tag_old_rsdp || type == tag_new_rsdp ? ": this machine has no ACPI tables" : ""));
    }
}

}  // namespace

Plan plan_multiboot2(const Request& request, const Surroundings& around) {
    const MultibootHeader header = read_multiboot2(*request.kernel);
    Plan plan;
    plan.format = BootFormat::multiboot2;
    KernelLayout layout(request, around, plan);
    const LoadedKernel kernel = load_multiboot(layout, header, "Multiboot 2");
    const auto modules = layout.add_modules(false);
    const auto sections = kernel.elf ? place_sections(layout, *kernel.elf, kernel.shift) : std::nullopt;
    TagList tags = list_tags(layout, kernel, modules, sections);
    check_required(header, tags, *request.kernel);
    const auto bytes = tags.finish();
    plan.entry.rax = loaded_by_multiboot2;
    plan.entry.rbx = layout.add_table("the Multiboot 2 information", [&](std::uint64_t) { return bytes; });
    plan.entry.rsp = layout.add_stack();
    plan.facts.push_back(fmt::format("Multiboot 2 header tags: {}", fmt::join(header.tags, " ")));
    return plan;
}

}  // namespace asyncvm::boot
