#include "boot/unbootable.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace asyncvm::boot {

namespace {

using Bytes = std::span<const std::byte>;
using namespace std::string_view_literals;

constexpr std::string_view unpack_kernel = "unpack it, and give the kernel that is in it";
constexpr std::string_view kernel_of_disk =
    "a guest is a kernel's file here, not a disk: copy the kernel out of it, and give it with --initrd and --append; or, if "
    "it "
    "boots through a BIOS's sectors alone, give a raw image with --format boot";

/// What a file of another kind has at one place.
struct Signature {
    std::size_t offset;
    std::string_view bytes;
    std::string_view what;
    std::string_view advice;
};

constexpr std::array signatures{
    Signature{0x8001, "CD001"sv, "an ISO 9660 image of a CD",
              "take the kernel out of it (bsdtar -xf FILE), and give that"sv},
    Signature{0, "QFI\xfb"sv, "a qcow2 disk image", kernel_of_disk},
    Signature{0, "KDMV"sv, "a VMDK disk image", kernel_of_disk},
    Signature{0, "conectix"sv, "a VHD disk image", kernel_of_disk},
    Signature{0, "vhdxfile"sv, "a VHDX disk image", kernel_of_disk},
    Signature{0x40, "\x7f\x10\xda\xbe"sv, "a VDI disk image", kernel_of_disk},
    Signature{512, "EFI PART"sv, "a disk image with a GUID partition table", kernel_of_disk},
    Signature{0, "hsqs"sv, "a squashfs file system", unpack_kernel},
    Signature{257, "ustar"sv, "a tar archive", unpack_kernel},
    Signature{0, "PK\x03\x04"sv, "a zip archive", unpack_kernel},
    Signature{0, "7z\xbc\xaf\x27\x1c"sv, "a 7z archive", unpack_kernel},
    Signature{0, "!<arch>\ndebian-binary"sv, "a Debian package",
              "unpack it (dpkg -x FILE DIR), and give the kernel in it"sv},
    Signature{0, "!<arch>\n"sv, "an ar archive or a static library", "link it to a program first"sv},
    Signature{0, "\xed\xab\xee\xdb"sv, "an RPM package", unpack_kernel},
    Signature{0, "070701"sv, "a cpio archive, an initial RAM disk", "give the kernel, and this file with --initrd"sv},
    Signature{0, "070702"sv, "a cpio archive, an initial RAM disk", "give the kernel, and this file with --initrd"sv},
    Signature{0, "070707"sv, "a cpio archive, an initial RAM disk", "give the kernel, and this file with --initrd"sv},
    Signature{0, "BZh"sv, "packed with bzip2", "unpack it (bzip2 -d)"sv},
    Signature{0, "\x04\x22\x4d\x18"sv, "packed with lz4", "unpack it (lz4 -d)"sv},
    Signature{0, "\x02\x21\x4c\x18"sv, "packed with lz4", "unpack it (lz4 -d)"sv},
    Signature{0, "\x89LZO\0\r\n\x1a\n"sv, "packed with lzop", "unpack it (lzop -d)"sv},
    Signature{5, "\xff\xff\xff\xff\xff\xff\xff\xff"sv, "packed with lzma", "unpack it (xz --format=lzma -d)"sv},
    Signature{0, "\xcf\xfa\xed\xfe"sv, "a Mach-O program (macOS)", "link it as ELF or as a flat binary"sv},
    Signature{0, "\xce\xfa\xed\xfe"sv, "a Mach-O program (macOS)", "link it as ELF or as a flat binary"sv},
    Signature{0, "\xca\xfe\xba\xbe"sv, "a Mach-O program (macOS) or a Java class", "link it as ELF or as a flat binary"sv},
    Signature{0, "\x27\x05\x19\x56"sv, "a U-Boot image", "take the kernel out of it (dumpimage), and give that"sv},
    Signature{0, "\xd0\x0d\xfe\xed"sv, "a device tree or a U-Boot FIT image",
              "take the kernel out of it (dumpimage), and give that"sv},
    Signature{0, "ANDROID!"sv, "an Android boot image", "take kernel and RAM disk out of it (unpack_bootimg)"sv},
    Signature{0, "#!"sv, "a script", "give the program that it builds or starts"sv},
};

bool has_bytes(Bytes image, std::size_t at, std::string_view bytes) {
    return image.size() >= at + bytes.size() && std::memcmp(image.data() + at, bytes.data(), bytes.size()) == 0;
}

/// LZMA's first byte and the size of its dictionary are weaker than its unknown size.
bool is_likely(Bytes head, const Signature& signature) {
    if (signature.offset == 5) return has_bytes(head, 0, "\x5d\0\0"sv);
    if (signature.bytes == "BZh") return has_bytes(head, 4, "1AY&SY"sv);
    return true;
}

unsigned char byte_at(Bytes image, std::size_t at) { return std::to_integer<unsigned char>(image[at]); }

bool is_hex(unsigned char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f'); }

unsigned hex_value(unsigned char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

/// The bytes of pairs of hexadecimal digits from `at` to the end of the line; empty if there is anything else.
std::vector<unsigned char> hex_line(Bytes head, std::size_t at) {
    std::vector<unsigned char> bytes;
    for (; at + 1 < head.size() && is_hex(byte_at(head, at)) && is_hex(byte_at(head, at + 1)); at += 2) {
        bytes.push_back(static_cast<unsigned char>(hex_value(byte_at(head, at)) << 4 | hex_value(byte_at(head, at + 1))));
    }
    const bool ends = at >= head.size() || byte_at(head, at) == '\r' || byte_at(head, at) == '\n';
    return ends ? bytes : std::vector<unsigned char>();
}

unsigned sum_of(const std::vector<unsigned char>& bytes) {
    unsigned sum = 0;
    for (const unsigned char byte : bytes) sum += byte;
    return sum & 0xff;
}

/// A first line with its length and its checksum, as of a ROM programmer.
bool is_intel_hex(Bytes head) {
    if (!has_bytes(head, 0, ":"sv)) return false;
    const auto line = hex_line(head, 1);
    return line.size() >= 5 && line.size() == line[0] + 5U && sum_of(line) == 0;
}

bool is_s_record(Bytes head) {
    if (head.size() < 4 || byte_at(head, 0) != 'S' || byte_at(head, 1) < '0' || byte_at(head, 1) > '9') return false;
    const auto line = hex_line(head, 2);
    return line.size() >= 4 && line.size() == line[0] + 1U && sum_of(line) == 0xff;
}

/// "MZ", and at the place that the word at 0x3c names "PE".
bool is_pe(Bytes head, const Image& image) {
    if (head.size() < 0x40 || !has_bytes(head, 0, "MZ"sv)) return false;
    std::uint32_t at = 0;
    std::memcpy(&at, head.data() + 0x3c, sizeof at);
    return has_bytes(image.view(at, 4), 0, "PE\0\0"sv);
}

/// A boot sector with four partition entries that make sense, one of which is in use, in a file with more than the sector.
bool is_partitioned_disk(Bytes head) {
    if (head.size() <= 512 || !has_bytes(head, 0x1fe, "\x55\xaa"sv)) return false;
    bool used = false;
    for (std::size_t entry = 0x1be; entry < 0x1fe; entry += 16) {
        const auto status = byte_at(head, entry);
        if (status != 0 && status != 0x80) return false;
        std::array<std::uint32_t, 2> start_and_size{};
        std::memcpy(start_and_size.data(), head.data() + entry + 8, sizeof start_and_size);
        if (byte_at(head, entry + 4) != 0 && start_and_size[0] != 0 && start_and_size[1] != 0) used = true;
    }
    return used;
}

/// Lines of printable characters: a source, a hex dump, a web page. Bytes above 0x7f are UTF-8, or it is code: a small
/// program that prints may have no other bytes.
bool is_text(Bytes head) {
    bool lines = false;
    unsigned to_follow = 0;  // bytes of a character
    for (const std::byte byte : head) {
        const auto c = std::to_integer<unsigned char>(byte);
        if ((c & 0xc0) == 0x80) {
            if (to_follow-- == 0) return false;
            continue;
        }
        if (to_follow != 0) return false;
        to_follow = c < 0xc0 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if (c == '\n') lines = true;
        if ((c < 0x20 && c != '\n' && c != '\r' && c != '\t' && c != '\f') || c == 0x7f) return false;
    }
    return lines;
}

[[noreturn]] void refuse_as(const Image& image, std::string_view what, std::string_view advice) {
    throw Error(ErrorKind::guest_image,
                fmt::format("{} is {}: {} (--format flat runs its bytes as they are)", image.name(), what, advice));
}

}  // namespace

void refuse_unbootable(const Image& image) {
    const Bytes head = image.view(0, 0x8006);
    for (const Signature& signature : signatures) {
        if (has_bytes(head, signature.offset, signature.bytes) && is_likely(head, signature)) {
            refuse_as(image, signature.what, signature.advice);
        }
    }
    if (is_pe(head, image)) {
        refuse_as(image, "a PE program, for EFI or Windows, and has no Linux setup header",
                  "there is no EFI here: give the kernel as ELF or bzImage");
    }
    if (is_intel_hex(head)) {
        refuse_as(image, "Intel hex", "make it binary first (objcopy -I ihex -O binary FILE guest.bin)");
    }
    if (is_s_record(head)) {
        refuse_as(image, "Motorola S-records", "make it binary first (objcopy -I srec -O binary FILE guest.bin)");
    }
    if (is_partitioned_disk(head)) refuse_as(image, "a disk image with a partition table", kernel_of_disk);
    if (is_text(head)) refuse_as(image, "text", "assemble or compile it first, and give the result");
}

}  // namespace asyncvm::boot
