#include "boot/setup_header.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace asyncvm::boot {

namespace {

constexpr std::uint64_t sector = 512;

[[noreturn]] void refuse_linux(const Image& image, const std::string& why) {
    throw Error(ErrorKind::guest_image, fmt::format("{} {}", image.name(), why));
}

/// Values of a header whose end is known: what is behind it is code, and reads as 0.
class HeaderBytes {
public:
    explicit HeaderBytes(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}

    template <typename T>
    [[nodiscard]] T at(std::uint64_t offset) const noexcept {
        T value{};
        if (offset + sizeof value <= bytes_.size()) std::memcpy(&value, bytes_.data() + offset, sizeof value);
        return value;
    }

private:
    std::span<const std::byte> bytes_;
};

/// The text at 0x200 + `offset`, if it is text.
std::string release_of(std::span<const std::byte> setup, std::uint64_t offset) {
    std::string text;
    if (offset == 0) return text;
    for (std::uint64_t at = 0x200 + offset; at < setup.size() && text.size() < 200; ++at) {
        const auto byte = std::to_integer<unsigned char>(setup[at]);
        if (byte == 0) return text;
        if (byte < 0x20 || byte > 0x7e) break;
        text += static_cast<char>(byte);
    }
    return {};
}

/// A file with this header that does not start in protected mode: ipxe.lkrn, memdisk, a zImage.
[[noreturn]] void needs_bios(const Image& image, const SetupHeader& header, const std::string& field) {
    refuse_linux(image,
                 fmt::format("has a Linux setup header (protocol {}), but {}: it needs real mode and a BIOS, and is no "
                             "Linux kernel that can be entered in protected mode (give a bzImage of protocol 2.06 or "
                             "later)",
                             header.protocol(), field));
}

void check_header(const Image& image, const SetupHeader& header, std::uint64_t syssize) {
    if (header.version < 0x0206) needs_bios(image, header, "that is older than 2.06");
    if ((header.loadflags & 1) == 0) needs_bios(image, header, "bit 0 of loadflags is clear (a zImage)");
    if (header.code32_start < 0x100000) {
        needs_bios(image, header, fmt::format("its code32_start is {:#x}, below 1 MiB", header.code32_start));
    }
    if (!std::has_single_bit(header.alignment)) {
        needs_bios(image, header, fmt::format("its kernel_alignment is {:#x}, which is no power of 2", header.alignment));
    }
    if (header.version >= 0x020a && header.end < 0x264) {
        refuse_linux(image, fmt::format("has a setup header that ends at {:#x}, but one of protocol {} goes to 0x264 or "
                                        "beyond: the file is damaged",
                                        header.end, header.protocol()));
    }
    const std::uint64_t have = image.size() > header.payload ? image.size() - header.payload : 0;
    // syssize counts 16 bytes; the last ones may be missing.
    if (have == 0 || have + 15 < syssize * 16) {
        refuse_linux(image, fmt::format("is truncated: syssize is {:#x}, so the kernel has {} bytes from {:#x} on, but the "
                                        "file has {} bytes in all",
                                        syssize, syssize * 16, header.payload, image.size()));
    }
    if (header.entry64() && have <= 0x200) {
        refuse_linux(image, fmt::format("has xloadflags {:#x}, a 64-bit entry at 0x200, but only {} bytes of kernel",
                                        header.xloadflags, have));
    }
    if (header.pref_address > 0xffff'ffff) {
        refuse_linux(image, fmt::format("has pref_address {:#x}, which is not below 4 GiB", header.pref_address));
    }
}

}  // namespace

std::string SetupHeader::protocol() const { return fmt::format("{}.{:02}", version >> 8, version & 0xff); }

SetupHeader read_setup_header(const Image& image) {
    const auto head = image.view(0, 0x202 + 0xff);
    if (head.size() < 0x228) {
        refuse_linux(image, fmt::format("is truncated: it ends after {} bytes, in the Linux setup header", image.size()));
    }
    SetupHeader header;
    header.end = 0x202 + std::to_integer<std::uint64_t>(head[0x201]);
    const HeaderBytes bytes(head.first(std::min<std::uint64_t>(head.size(), header.end)));
    header.version = bytes.at<std::uint16_t>(0x206);
    const auto sectors = bytes.at<std::uint8_t>(0x1f1);
    header.payload = (std::uint64_t{sectors == 0 ? std::uint8_t{4} : sectors} + 1) * sector;
    header.loadflags = bytes.at<std::uint8_t>(0x211);
    header.code32_start = bytes.at<std::uint32_t>(0x214);
    header.initrd_last = header.version >= 0x0203 ? bytes.at<std::uint32_t>(0x22c) : 0x37ff'ffff;
    if (header.version >= 0x0205) {
        header.alignment = bytes.at<std::uint32_t>(0x230);
        header.relocatable = bytes.at<std::uint8_t>(0x234) != 0;
    }
    header.cmdline_size = header.version >= 0x0206 ? bytes.at<std::uint32_t>(0x238) : 255;
    if (header.version >= 0x0208) {
        header.packed_offset = bytes.at<std::uint32_t>(0x248);
        header.packed_size = bytes.at<std::uint32_t>(0x24c);
    }
    if (header.version >= 0x020c) header.xloadflags = bytes.at<std::uint16_t>(0x236);
    if (header.version >= 0x020a) {
        header.pref_address = bytes.at<std::uint64_t>(0x258);
        header.init_size = bytes.at<std::uint32_t>(0x260);
    } else {
        header.pref_address = header.code32_start;
        // Such a header does not say what the kernel needs: gzip makes a kernel a quarter as large, or a bit more.
        header.init_size = 4 * (image.size() - std::min(image.size(), header.payload));
    }
    check_header(image, header, bytes.at<std::uint32_t>(0x1f4));
    header.release = release_of(image.view(0, header.payload), bytes.at<std::uint16_t>(0x20e));
    return header;
}

}  // namespace asyncvm::boot
