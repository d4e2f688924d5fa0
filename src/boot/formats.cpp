#include "boot/formats.hpp"

#include "boot/elf.hpp"
#include "boot/foreign.hpp"
#include "boot/multiboot_header.hpp"
#include "boot/unbootable.hpp"
#include "text/suggest.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <array>

namespace asyncvm {

namespace {

struct FormatName {
    BootFormat format;
    std::string_view name;
};

constexpr std::array format_names{
    FormatName{BootFormat::flat, "flat"},
    FormatName{BootFormat::elf, "elf"},
    FormatName{BootFormat::pvh, "pvh"},
    FormatName{BootFormat::multiboot, "multiboot"},
    FormatName{BootFormat::multiboot2, "multiboot2"},
    FormatName{BootFormat::bzimage, "bzimage"},
    FormatName{BootFormat::boot_sector, "boot"},
    FormatName{BootFormat::firmware, "firmware"},
};

}  // namespace

std::string_view name_of(BootFormat format) noexcept {
    for (const auto& each : format_names) {
        if (each.format == format) return each.name;
    }
    return "unknown";
}

BootFormat parse_boot_format(std::string_view text) {
    std::vector<std::string_view> names;
    for (const auto& each : format_names) {
        if (each.name == text) return each.format;
        names.push_back(each.name);
    }
    throw Error(ErrorKind::usage, fmt::format("there is no format {}{}", text, suggestion(text, names)));
}

namespace boot {

namespace {

/// Of the protocols that an ELF file has: the one that tells a kernel most comes first, but Multiboot 1 before PVH, as QEMU
/// has it: a kernel with both has been tried there.
BootFormat detect_elf(const Image& image) {
    if (find_multiboot2(image)) return BootFormat::multiboot2;
    if (find_multiboot(image)) return BootFormat::multiboot;
    return pvh_entry(read_elf(image)) ? BootFormat::pvh : BootFormat::elf;
}

}  // namespace

BootFormat detect(const Image& image) {
    switch (foreign_format(image.view(0, 32 << 10))) {
        case Foreign::elf:
            return detect_elf(image);
        case Foreign::bzimage:
            return BootFormat::bzimage;
        case Foreign::multiboot:
            return find_multiboot2(image) ? BootFormat::multiboot2 : BootFormat::multiboot;
        case Foreign::none:
            break;
    }
    refuse_unbootable(image);
    return BootFormat::flat;
}

Plan plan_guest(BootFormat format, const Request& request, const Surroundings& surroundings) {
    switch (format) {
        case BootFormat::flat:
            return plan_flat(request, surroundings);
        case BootFormat::bzimage:
            return plan_bzimage(request, surroundings);
        case BootFormat::elf:
            return plan_elf(request, surroundings);
        case BootFormat::pvh:
            return plan_pvh(request, surroundings);
        case BootFormat::multiboot:
            return plan_multiboot(request, surroundings);
        case BootFormat::multiboot2:
            return plan_multiboot2(request, surroundings);
        case BootFormat::boot_sector:
            return plan_boot_sector(request, surroundings);
        case BootFormat::firmware:
            return plan_firmware(request);
    }
    throw Error(ErrorKind::guest_image, fmt::format("{} can't be booted", request.kernel->name()));
}

}  // namespace boot

}  // namespace asyncvm
