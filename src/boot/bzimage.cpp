#include "boot/formats.hpp"
#include "boot/setup_header.hpp"
#include "boot/space.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace asyncvm::boot {

namespace {

constexpr std::uint64_t zero_page_size = 4096;
/// Where the zero page keeps what is not part of the setup header (struct boot_params).
constexpr std::uint64_t rsdp_field = 0x70;
constexpr std::uint64_t initrd_high_field = 0xc0;
constexpr std::uint64_t e820_count_field = 0x1e8;
constexpr std::uint64_t e820_field = 0x2d0;
constexpr std::uint64_t e820_most = 128;
constexpr std::uint64_t e820_size = 20;
/// The setup header's last possible byte in the zero page is before this.
constexpr std::uint64_t header_limit = 0x290;

[[noreturn]] void refuse_bzimage(const std::string& message) { throw Error(ErrorKind::guest_image, message); }

std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) { return (value + alignment - 1) & ~(alignment - 1); }

/// Bytes from the load address on that are the kernel's until it has read its boot data. It runs at the next multiple of its
/// alignment.
std::uint64_t needed(const SetupHeader& header, std::uint64_t payload_size) {
    const std::uint64_t shift = align_up(header.pref_address, header.alignment) - header.pref_address;
    return std::max(payload_size, header.init_size + (header.relocatable ? shift : 0));
}

/// Where the payload goes. A relocatable kernel that is loaded below pref_address moves itself there: so never below.
std::uint64_t load_address(const Image& image, const SetupHeader& header, std::uint64_t size, const Space& space) {
    const std::uint64_t wanted = header.pref_address;
    const bool ram = space.is_ram(wanted, size);
    const std::string other = space.occupant(wanted, size);
    if (ram && other.empty()) return wanted;
    if (header.relocatable) {
        const auto at = space.find({.size = size, .alignment = header.alignment, .lowest = wanted});
        if (at) return *at;
    }
    const std::uint64_t enough = align_up(wanted + size, 1 << 20) >> 20;
    refuse_bzimage(fmt::format("{} needs {} bytes of RAM from {:#x} on (pref_address; init_size is {} bytes), {}; it is {}",
                               image.name(), size, wanted, header.init_size,
                               ram ? fmt::format("where {} is", other)
                                   : fmt::format("which the guest does not have (--memory {}M is enough)", enough),
                               header.relocatable ? "relocatable, but has no room elsewhere" : "not relocatable"));
}

void check_command_line(const Image& image, const SetupHeader& header, const std::string& line) {
    if (line.size() > header.cmdline_size) {
        refuse_bzimage(fmt::format("the command line has {} bytes, but {} takes only {} (cmdline_size)", line.size(),
                                   image.name(), header.cmdline_size));
    }
    if (line.find('\0') != std::string::npos) refuse_bzimage("the command line has a byte 0 in it, which ends it");
}

/// As high as the kernel allows: low memory is where it unpacks itself, whatever the header says.
std::uint64_t place_initrd(const Image& initrd, const SetupHeader& header, Space& space) {
    const Space::Wish low{
        .size = initrd.size(), .lowest = 0x100000, .last = std::min(header.initrd_last, 0xffff'ffffUL), .from_top = true};
    if (!space.find(low) && header.above_4_gib()) {
        const Space::Wish high{.size = initrd.size(), .lowest = 0x100000, .last = ~std::uint64_t{0}, .from_top = true};
        return space.place("the initrd " + initrd.name(), high);
    }
    return space.place("the initrd " + initrd.name(), low);
}

class ZeroPage {
public:
    ZeroPage(const Image& image, const SetupHeader& header) : bytes_(zero_page_size) {
        const auto end = std::min(header.end, header_limit);
        const auto fields = image.view(0x1f1, end - 0x1f1);
        std::ranges::copy(fields, bytes_.begin() + 0x1f1);
        set<std::uint8_t>(0x210, 0xff);  // type_of_loader: one without a number; with 0 Linux ignores the initrd
        set<std::uint8_t>(0x211, header.loadflags | 0x80);
        set<std::uint16_t>(0x224, 0xfe00);  // heap_end_ptr, which bit 7 of loadflags makes valid
    }

    template <typename T>
    void set(std::uint64_t offset, T value) {
        std::memcpy(bytes_.data() + offset, &value, sizeof value);
    }

    void set_initrd(std::uint64_t address, std::uint64_t size) {
        set(0x218, static_cast<std::uint32_t>(address));
        set(0x21c, static_cast<std::uint32_t>(size));
        set(initrd_high_field, static_cast<std::uint32_t>(address >> 32));
        set(initrd_high_field + 4, static_cast<std::uint32_t>(size >> 32));
    }

    void set_map(std::span<const MemoryRange> map) {
        std::uint64_t at = e820_field;
        for (const MemoryRange& range : map) {
            set(at, range.address);
            set(at + 8, range.size);
            set(at + 16, static_cast<std::uint32_t>(range.kind));
            at += e820_size;
        }
        set(e820_count_field, static_cast<std::uint8_t>(map.size()));
    }

    [[nodiscard]] std::vector<std::byte> take() { return std::move(bytes_); }

private:
    std::vector<std::byte> bytes_;
};

std::vector<std::byte> text_bytes(const std::string& text) {
    const auto bytes = std::as_bytes(std::span(text.c_str(), text.size() + 1));
    return {bytes.begin(), bytes.end()};
}

std::string describe(const SetupHeader& header) {
    const std::string first = header.release.substr(0, header.release.find(' '));
    const bool number = !first.empty() && first[0] >= '0' && first[0] <= '9';
    const std::string name = number ? "Linux " + first : header.release.empty() ? "Linux kernel" : header.release;
    return fmt::format("{}, bzImage, boot protocol {}", name, header.protocol());
}

std::vector<std::string> list_facts(const SetupHeader& header, std::uint64_t payload_size) {
    std::vector<std::string> facts;
    if (!header.release.empty()) facts.push_back("version: " + header.release);
    facts.push_back("protocol: " + header.protocol());
    facts.push_back(fmt::format("payload: {} bytes from {:#x} on in the file", payload_size, header.payload));
    if (header.packed_size != 0) {
        facts.push_back(fmt::format("compressed kernel: {} bytes from {:#x} on in the file", header.packed_size,
                                    header.payload + header.packed_offset));
    }
    facts.push_back(header.entry64() ? "entry: 64-bit at payload + 0x200 (used), 32-bit at payload + 0"
                                     : "entry: 32-bit at payload + 0");
    if (header.version >= 0x020a) {
        facts.push_back(fmt::format("pref_address: {:#x}", header.pref_address));
        facts.push_back(
            fmt::format("init_size: {:#x} ({} MiB)", header.init_size, align_up(header.init_size, 1 << 20) >> 20));
    } else {
        facts.push_back(
            fmt::format("code32_start: {:#x} (no pref_address and init_size before protocol 2.10)", header.code32_start));
    }
    facts.push_back(fmt::format("kernel_alignment: {:#x}, {}", header.alignment,
                                header.relocatable ? "relocatable" : "not relocatable"));
    if (header.version >= 0x020c) {
        facts.push_back(fmt::format("xloadflags: {:#x}{}{}", header.xloadflags, header.entry64() ? ", 64-bit entry" : "",
                                    header.above_4_gib() ? ", initrd may be above 4 GiB" : ""));
    }
    facts.push_back(fmt::format("command line: at most {} bytes", header.cmdline_size));
    facts.push_back(fmt::format("initrd: up to {:#x} (initrd_addr_max)", header.initrd_last));
    return facts;
}

}  // namespace

Plan plan_bzimage(const Request& request, const Surroundings& around) {
    const Image& image = *request.kernel;
    const SetupHeader header = read_setup_header(image);
    if (!request.modules.empty()) {
        refuse_bzimage(fmt::format("{} is a Linux kernel, which takes no modules at boot (use --initrd)", image.name()));
    }
    check_command_line(image, header, request.command_line);
    const std::uint64_t payload_size = image.size() - header.payload;
    const std::uint64_t room = needed(header, payload_size);

    Plan plan;
    plan.format = BootFormat::bzimage;
    plan.description = describe(header);
    plan.facts = list_facts(header, payload_size);
    plan.pieces = around.tables;
    Space space(around.map, around.tables);
    const std::uint64_t load = load_address(image, header, room, space);
    space.take(image.name(), load, room);
    plan.pieces.push_back({.name = image.name(),
                           .address = load,
                           .size = payload_size,
                           .image = request.kernel,
                           .offset = header.payload,
                           .file_size = payload_size});
    if (room > payload_size) {
        plan.reserved.push_back({"what the kernel unpacks itself to", load + payload_size, room - payload_size});
    }

    ZeroPage page(image, header);
    const auto page_at = space.place("the zero page", {.size = zero_page_size, .lowest = 0x7000});
    auto line = text_bytes(request.command_line);
    const auto line_at = space.place("the command line", {.size = line.size(), .lowest = 0x20000});
    page.set(0x228, static_cast<std::uint32_t>(line_at));
    if (request.initrd) {
        const auto at = place_initrd(*request.initrd, header, space);
        page.set_initrd(at, request.initrd->size());
        plan.pieces.push_back({.name = "the initrd " + request.initrd->name(),
                               .address = at,
                               .size = request.initrd->size(),
                               .image = request.initrd,
                               .file_size = request.initrd->size()});
    }
    // Memory that a kernel is not told of is none for it.
    const std::span<const MemoryRange> map = around.map;
    page.set_map(map.first(std::min<std::uint64_t>(map.size(), e820_most)));
    if (map.size() > e820_most) {
        plan.notes.push_back(fmt::format("{} is told of the first {} of {} ranges of memory: the zero page has no more",
                                         image.name(), e820_most, map.size()));
    }
    if (header.version >= 0x020e) page.set(rsdp_field, around.rsdp);
    plan.pieces.push_back({.name = "the zero page", .address = page_at, .size = zero_page_size, .bytes = page.take()});
    const auto line_size = line.size();
    plan.pieces.push_back({.name = "the command line", .address = line_at, .size = line_size, .bytes = std::move(line)});

    plan.entry.mode = header.entry64() ? Mode::long64 : Mode::protected32;
    plan.entry.rip = load + (header.entry64() ? 0x200 : 0);
    plan.entry.rsi = page_at;
    plan.entry.linux_selectors = true;
    return plan;
}

}  // namespace asyncvm::boot
