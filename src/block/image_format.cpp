#include "block/image_format.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace asyncvm::block {

namespace {

using namespace std::string_view_literals;

struct Magic {
    std::size_t offset;
    std::string_view bytes;
    std::string_view format;
};

constexpr std::array magics{
    Magic{0, "QFI\xfb"sv, "qcow2"sv}, Magic{0, "KDMV"sv, "VMDK"sv},     Magic{0, "# Disk DescriptorFile"sv, "VMDK"sv},
    Magic{0, "conectix"sv, "VHD"sv},  Magic{0, "vhdxfile"sv, "VHDX"sv}, Magic{0x40, "\x7f\x10\xda\xbe"sv, "VDI"sv},
    Magic{0, "QED\0"sv, "QED"sv},
};

}  // namespace

std::string_view foreign_format(std::span<const std::byte> head) noexcept {
    for (const Magic& magic : magics) {
        if (head.size() < magic.offset + magic.bytes.size()) continue;
        if (std::memcmp(head.data() + magic.offset, magic.bytes.data(), magic.bytes.size()) == 0) return magic.format;
    }
    return {};
}

std::string_view foreign_format(int fd) noexcept {
    alignas(4096) std::array<std::byte, 4096> page{};  // O_DIRECT takes no less
    const ssize_t count = ::pread(fd, page.data(), page.size(), 0);
    return foreign_format(
        std::span(page).first(std::min<std::size_t>(count > 0 ? static_cast<std::size_t>(count) : 0, format_head)));
}

}  // namespace asyncvm::block
