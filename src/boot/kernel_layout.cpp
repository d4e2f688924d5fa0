#include "boot/kernel_layout.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "boot/bios_stub.hpp"

namespace asyncvm::boot {

namespace {

/// Tables go to the highest free place below: kernels start other CPUs from pages that they choose from the lowest ones on,
/// and the last KiBs of low memory belong to a BIOS.
constexpr std::uint64_t tables_last = 0x8'ffff;
constexpr std::uint64_t tables_lowest = 0x1'0000;
constexpr std::uint64_t table_alignment = 16;
constexpr std::uint64_t stack_size = 4096;

void check_text(const std::string& text) {
    if (text.find('\0') == std::string::npos) return;
    throw Error(ErrorKind::guest_image, "the command line has a byte 0 in it, which ends it");
}

}  // namespace

KernelLayout::KernelLayout(const Request& request, const Surroundings& surroundings, Plan& plan)
    : request_(request), surroundings_(surroundings), plan_(plan), space_(surroundings.map, surroundings.tables) {
    plan_.pieces = surroundings.tables;
    check_text(request.command_line);
}

void KernelLayout::add_kernel(Piece piece) {
    space_.take(piece.name, piece.address, piece.size);
    kernel_end_ = std::max(kernel_end_, piece.address + piece.size);
    plan_.pieces.push_back(std::move(piece));
}

/// What a linker makes of "-Ttext=0x100000", without more.
void KernelLayout::check_header_segment(const ElfSegment& segment, std::uint64_t address) const {
    constexpr std::uint64_t one_mib = 1 << 20;
    if (segment.offset != 0 || address >= one_mib || space_.is_ram(address, segment.memory_size)) return;
    throw Error(ErrorKind::guest_image,
                fmt::format("segment {} of {} begins with the ELF header (p_offset 0) at {:#x}, where the guest has no RAM: "
                            "GNU ld puts it in front of the first section (with -n, for gcc -Wl,-n, it does not)",
                            segment.index, request_.kernel->name(), address));
}

void KernelLayout::add_segments(const Elf& elf, std::uint64_t shift) {
    plan_.elf64 = elf.is_64 && elf.x86_64;
    for (const ElfSegment& segment : elf.segments) {
        check_header_segment(segment, segment.physical_address + shift);
        add_kernel({.name = fmt::format("segment {} of {}", segment.index, request_.kernel->name()),
                    .address = segment.physical_address + shift,
                    .size = segment.memory_size,
                    .image = request_.kernel,
                    .offset = segment.offset,
                    .file_size = segment.file_size});
    }
}

std::vector<PlacedModule> KernelLayout::add_modules(bool initrd_first) {
    std::vector<PlacedModule> placed;
    const auto add = [&](const ImagePtr& image, const std::string& kind, const std::string& arguments) {
        check_text(arguments);
        const std::string name = fmt::format("{} {}", kind, image->name());
        const auto at = space_.place(name, {.size = image->size(), .lowest = std::max<std::uint64_t>(kernel_end_, 1 << 20)});
        plan_.pieces.push_back(
            {.name = name, .address = at, .size = image->size(), .image = image, .file_size = image->size()});
        placed.push_back({at, image->size(), arguments.empty() ? image->name() : image->name() + ' ' + arguments});
    };
    if (request_.initrd && initrd_first) add(request_.initrd, "the initrd", {});
    for (const Module& module : request_.modules) add(module.image, "the module", module.arguments);
    if (request_.initrd && !initrd_first) add(request_.initrd, "the initrd", {});
    return placed;
}

std::uint64_t KernelLayout::add_table(const std::string& name,
                                      const std::function<std::vector<std::byte>(std::uint64_t address)>& make) {
    const std::uint64_t size = make(0).size();
    const std::uint64_t at = place_low(name, size);
    plan_.pieces.push_back({.name = name, .address = at, .size = size, .bytes = make(at)});
    return at;
}

std::uint64_t KernelLayout::add_file_part(const std::string& name, std::uint64_t offset, std::uint64_t size) {
    const auto at = space_.place(name, {.size = size, .lowest = std::max<std::uint64_t>(kernel_end_, 1 << 20)});
    plan_.pieces.push_back(
        {.name = name, .address = at, .size = size, .image = request_.kernel, .offset = offset, .file_size = size});
    return at;
}

std::uint64_t KernelLayout::add_stack() {
    const std::uint64_t at = place_low("the stack", stack_size);
    plan_.reserved.push_back({"the stack", at, stack_size});
    return at + stack_size;
}

void KernelLayout::add_absent_bios() {
    auto vectors = make_bios_vectors();
    auto code = make_bios_code(BiosCalls::refused);
    const bool has_place =
        space_.is_ram(0, vectors.size()) && std::ranges::any_of(surroundings_.map, [&](const MemoryRange& range) {
            return range.kind == MemoryKind::reserved && range.address <= bios_code &&
                   range.address + range.size >= bios_code + code.size();
        });
    if (!has_place || !space_.occupant(0, vectors.size()).empty() || !space_.occupant(bios_code, code.size()).empty())
        return;
    plan_.pieces.push_back(
        {.name = "the interrupt vectors", .address = 0, .size = vectors.size(), .bytes = std::move(vectors)});
    plan_.pieces.push_back({.name = "the absent BIOS", .address = bios_code, .size = code.size(), .bytes = std::move(code)});
}

std::string KernelLayout::command_line() const {
    const std::string& name = request_.kernel->name();
    return request_.command_line.empty() ? name : name + ' ' + request_.command_line;
}

std::uint64_t KernelLayout::place_low(const std::string& name, std::uint64_t size) {
    const Space::Wish low{
        .size = size, .alignment = table_alignment, .lowest = tables_lowest, .last = tables_last, .from_top = true};
    if (const auto at = space_.find(low)) {
        space_.take(name, *at, size);
        return *at;
    }
    return space_.place(name, {.size = size, .alignment = table_alignment, .lowest = 0x1000});
}

}  // namespace asyncvm::boot
