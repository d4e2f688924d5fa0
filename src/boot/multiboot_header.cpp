#include "boot/multiboot_header.hpp"

#include "boot/fields.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace asyncvm::boot {

namespace {

constexpr std::uint32_t magic_1 = 0x1bad'b002;
constexpr std::uint32_t magic_2 = 0xe852'50d6;
constexpr std::uint64_t reach_1 = 8192;
constexpr std::uint64_t reach_2 = 32768;
constexpr std::uint32_t flag_addresses = 1U << 16;
/// Pages for modules, memory information, video: bits 3 to 15 are requirements without a meaning so far.
constexpr std::uint32_t known_flags = 7;

[[noreturn]] void refuse_header(const Image& image, const std::string& why) {
    throw Error(ErrorKind::guest_image, fmt::format("{} {}", image.name(), why));
}

/// A header of `words` words, the first of which is `magic`, that sum up to 0.
std::optional<std::uint64_t> find_header(const Image& image, std::uint32_t magic, std::uint64_t words, std::uint64_t reach,
                                         std::uint64_t alignment) {
    const auto head = image.view(0, reach);
    for (std::uint64_t at = 0; at + 4 * words <= head.size(); at += alignment) {
        if (field_at<std::uint32_t>(head, at) != magic) continue;
        std::uint32_t sum = 0;
        for (std::uint64_t word = 0; word < words; ++word) sum += field_at<std::uint32_t>(head, at + 4 * word);
        if (sum == 0) return at;
    }
    return std::nullopt;
}

/// Four words: header_addr, load_addr, load_end_addr, bss_end_addr.
AddressFields read_addresses(const Image& image, std::uint64_t header_offset, std::span<const std::byte> fields) {
    const std::uint64_t header = field_at<std::uint32_t>(fields, 0);
    const std::uint64_t load = field_at<std::uint32_t>(fields, 4);
    const std::uint64_t load_end = field_at<std::uint32_t>(fields, 8);
    const std::uint64_t bss_end = field_at<std::uint32_t>(fields, 12);
    // Some kernels say with all ones that they are loaded from the file's start.
    const std::uint64_t before = load == 0xffff'ffff ? header_offset : header - load;
    AddressFields result;
    result.address = load == 0xffff'ffff ? header - header_offset : load;
    if (header < result.address || before > header_offset) {
        refuse_header(
            image, fmt::format("has a Multiboot header at {:#x} whose header_addr {:#x} and load_addr {:#x} do not fit: the "
                               "file would begin {} its start",
                               header_offset, header, load, header < result.address ? "behind" : "before"));
    }
    result.offset = header_offset - before;
    const std::uint64_t rest = image.size() - result.offset;
    if (load_end != 0 && load_end < result.address) {
        refuse_header(image, fmt::format("has a Multiboot header whose load_end_addr {:#x} is below its load_addr {:#x}",
                                         load_end, result.address));
    }
    result.file_size = load_end == 0 ? rest : load_end - result.address;
    if (result.file_size > rest) {
        refuse_header(image,
                      fmt::format("is truncated: load_end_addr {:#x} of its Multiboot header wants {} bytes from {:#x} "
                                  "on, but the file has {}",
                                  load_end, result.file_size, result.offset, image.size()));
    }
    result.size = result.file_size;
    if (bss_end != 0) {
        if (bss_end < result.address + result.file_size) {
            refuse_header(image, fmt::format("has a Multiboot header whose bss_end_addr {:#x} is below {:#x}, where what is "
                                             "loaded ends",
                                             bss_end, result.address + result.file_size));
        }
        result.size = bss_end - result.address;
    }
    return result;
}

/// The tags of a Multiboot 2 header.
class TagReader {
public:
    TagReader(const Image& image, MultibootHeader& header) : image_(image), header_(header) {}

    /// `tags` are those behind the header's four words, to its end.
    void read(std::span<const std::byte> tags) {
        std::uint64_t at = 0;
        while (at + 8 <= tags.size()) {
            const unsigned type = field_at<std::uint16_t>(tags, at);
            const bool optional = (field_at<std::uint16_t>(tags, at + 2) & 1) != 0;
            const std::uint64_t size = field_at<std::uint32_t>(tags, at + 4);
            if (type == 0) break;
            if (size < 8 || size > tags.size() - at) {
                refuse_header(image_,
                              fmt::format("has a damaged Multiboot 2 header: tag {} has {} bytes, where there are {}", type,
                                          size, tags.size() - at));
            }
            read_tag(type, optional, tags.subspan(at, size));
            header_.tags.push_back(type);
            at += (size + 7) / 8 * 8;
        }
        if (header_.addresses && !header_.entry) {
            refuse_header(image_, "has a Multiboot 2 header with addresses (tag 2), but without an entry (tag 3)");
        }
    }

private:
    void read_tag(unsigned type, bool optional, std::span<const std::byte> tag) {
        switch (type) {
            case 1:
                // What is asked for optionally comes anyhow, if there is such a thing.
                for (std::uint64_t at = 8; !optional && at + 4 <= tag.size(); at += 4) {
                    header_.required.push_back(field_at<std::uint32_t>(tag, at));
                }
                break;
            case 2:
                check_size(type, tag, 24);
                header_.addresses = read_addresses(image_, header_.offset, tag.subspan(8));
                break;
            case 3:
                check_size(type, tag, 12);
                header_.entry = field_at<std::uint32_t>(tag, 8);
                break;
            case 10:
                check_size(type, tag, 24);
                read_relocation(tag);
                break;
            case 5:
                if (optional) break;
                refuse_header(image_,
                              "needs a framebuffer (tag 5 of its Multiboot 2 header is not optional), and there is none "
                              "here (set bit 0 of the tag's flags if it can do without)");
            case 4:  // consoles: the guest has the serial port, whatever it supports
            case 6:  // modules on pages: they always are
            case 7:  // with EFI's boot services: there are none to keep
            case 8:  // entries for EFI
            case 9:
                break;
            default:
                if (optional) break;
                refuse_header(
                    image_,
                    fmt::format("has a Multiboot 2 header with tag {}, which is required, but not known here", type));
        }
    }

    void read_relocation(std::span<const std::byte> tag) {
        MultibootHeader::Relocation relocation{.lowest = field_at<std::uint32_t>(tag, 8),
                                               .last = field_at<std::uint32_t>(tag, 12),
                                               .alignment = field_at<std::uint32_t>(tag, 16),
                                               .prefers_high = field_at<std::uint32_t>(tag, 20) == 2};
        if (!std::has_single_bit(relocation.alignment)) {
            refuse_header(image_,
                          fmt::format("has a Multiboot 2 header whose tag 10 has an alignment of {:#x}, no power of 2",
                                      relocation.alignment));
        }
        header_.relocation = relocation;
    }

    void check_size(unsigned type, std::span<const std::byte> tag, std::size_t least) const {
        if (tag.size() >= least) return;
        refuse_header(image_,
                      fmt::format("has a damaged Multiboot 2 header: tag {} has {} bytes, not {}", type, tag.size(), least));
    }

    const Image& image_;
    MultibootHeader& header_;
};

}  // namespace

std::optional<std::uint64_t> find_multiboot(const Image& image) { return find_header(image, magic_1, 3, reach_1, 4); }

std::optional<std::uint64_t> find_multiboot2(const Image& image) { return find_header(image, magic_2, 4, reach_2, 8); }

MultibootHeader read_multiboot(const Image& image) {
    const auto at = find_multiboot(image);
    if (!at) {
        refuse_header(image,
                      fmt::format("has no Multiboot header in its first {} bytes: no 0x1badb002 with a right checksum "
                                  "at a multiple of 4",
                                  reach_1));
    }
    MultibootHeader header;
    header.offset = *at;
    const auto bytes = image.view(*at, 32);
    header.flags = field_at<std::uint32_t>(bytes, 4);
    const std::uint32_t unknown = header.flags & 0xffff & ~known_flags;
    if (unknown != 0) {
        refuse_header(image, fmt::format("has a Multiboot header whose flags {:#x} require bit {}, which is not known here",
                                         header.flags, std::countr_zero(unknown)));
    }
    if ((header.flags & flag_addresses) != 0) {
        if (bytes.size() < 32) {
            refuse_header(image, fmt::format("is truncated: flags {:#x} of its Multiboot header at {:#x} say that addresses "
                                             "follow, but the file ends after {} bytes",
                                             header.flags, *at, image.size()));
        }
        header.addresses = read_addresses(image, *at, bytes.subspan(12));
        header.entry = field_at<std::uint32_t>(bytes, 28);
    }
    return header;
}

MultibootHeader read_multiboot2(const Image& image) {
    const auto at = find_multiboot2(image);
    if (!at) {
        refuse_header(image,
                      fmt::format("has no Multiboot 2 header in its first {} bytes: no 0xe85250d6 with a right checksum "
                                  "at a multiple of 8",
                                  reach_2));
    }
    MultibootHeader header;
    header.offset = *at;
    const auto words = image.view(*at, 16);
    const std::uint32_t architecture = field_at<std::uint32_t>(words, 4);
    const std::uint64_t length = field_at<std::uint32_t>(words, 8);
    if (architecture != 0) {
        refuse_header(
            image,
            fmt::format("has a Multiboot 2 header for another machine: its architecture is {}, not 0 (i386)", architecture));
    }
    if (length < 16 || *at + length > reach_2 || *at + length > image.size()) {
        refuse_header(image,
                      fmt::format("has a damaged Multiboot 2 header: its header_length is {} at {:#x}, in a file of {} "
                                  "bytes",
                                  length, *at, image.size()));
    }
    TagReader(image, header).read(image.view(*at + 16, length - 16));
    return header;
}

}  // namespace asyncvm::boot
