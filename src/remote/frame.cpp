#include "remote/frame.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace asyncvm::remote {

std::string name_of(Command command) {
    switch (command) {
        case Command::version:
            return "VERSION";
        case Command::dma_map:
            return "DMA_MAP";
        case Command::region_read:
            return "REGION_READ";
        case Command::region_write:
            return "REGION_WRITE";
        case Command::dma_read:
            return "DMA_READ";
        case Command::dma_write:
            return "DMA_WRITE";
        case Command::device_reset:
            return "DEVICE_RESET";
        case Command::set_irq:
            return "SET_IRQ";
        case Command::log:
            return "LOG";
    }
    return fmt::format("command {}", static_cast<unsigned>(command));
}

void append_header(Bytes& to, std::uint16_t id, Command command, std::size_t payload, std::uint32_t flags,
                   std::uint32_t error) {
    append(to, id);
    append(to, static_cast<std::uint16_t>(command));
    append(to, static_cast<std::uint32_t>(header_size + payload));
    append(to, flags);
    append(to, error);
}

void append_access(Bytes& to, const RegionAccess& access) {
    append(to, access.offset);
    append(to, access.region);
    append(to, access.width);
    append(to, std::uint8_t{0});
    append(to, access.count);
}

std::span<std::byte> FrameReader::room() {
    constexpr std::size_t least = 4096;
    std::move(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_), buffer_.begin() + static_cast<std::ptrdiff_t>(end_),
              buffer_.begin());
    end_ -= begin_;
    begin_ = 0;
    // The whole of the frame that has begun, and some more.
    if (buffer_.size() < std::max(limit_, least)) buffer_.resize(std::max(limit_, least));
    return std::span(buffer_).subspan(end_);
}

std::optional<Frame> FrameReader::next() {
    if (!mistake_.empty() || end_ - begin_ < header_size) return std::nullopt;
    const auto bytes = std::span<const std::byte>(buffer_).subspan(begin_, end_ - begin_);
    const Header header{.id = load<std::uint16_t>(bytes, 0),
                        .command = static_cast<Command>(load<std::uint16_t>(bytes, 2)),
                        .size = load<std::uint32_t>(bytes, 4),
                        .flags = load<std::uint32_t>(bytes, 8),
                        .error = load<std::uint32_t>(bytes, 12)};
    const std::uint32_t type = header.flags & type_mask;
    if (header.size < header_size || header.size > limit_) {
        mistake_ = fmt::format("it sends a frame of {} bytes, and {} to {} are allowed", header.size, header_size, limit_);
    } else if ((header.flags & ~known_flags) != 0 || type > type_reply) {
        mistake_ = fmt::format("it sends a frame with flags {:#x}, which the protocol does not have", header.flags);
    } else if (header.is_reply() && header.is_error() && header.size != header_size) {
        mistake_ = fmt::format("its error reply to {} has a payload", name_of(header.command));
    }
    if (!mistake_.empty() || bytes.size() < header.size) return std::nullopt;
    return Frame{.header = header, .payload = bytes.subspan(header_size, header.size - header_size)};
}

void FrameReader::drop() noexcept {
    if (end_ - begin_ >= header_size) begin_ += load<std::uint32_t>(std::span(buffer_), begin_ + 4);
}

std::string harmless(std::string_view text) {
    std::string clean;
    for (std::size_t at = 0; at < text.size();) {
        const auto byte = static_cast<unsigned char>(text[at]);
        const std::size_t length = byte < 0x80                   ? 1
                                   : byte >= 0xc2 && byte < 0xe0 ? 2
                                   : byte >= 0xe0 && byte < 0xf0 ? 3
                                   : byte >= 0xf0 && byte < 0xf5 ? 4
                                                                 : 0;
        bool whole = length != 0 && at + length <= text.size();
        for (std::size_t i = 1; whole && i < length; ++i) whole = (static_cast<unsigned char>(text[at + i]) & 0xc0) == 0x80;
        // Overlong forms, surrogates, what is past Unicode's end, and the second set of control characters.
        const auto second = whole && length > 1 ? static_cast<unsigned char>(text[at + 1]) : 0;
        if ((byte == 0xe0 && second < 0xa0) || (byte == 0xed && second > 0x9f) || (byte == 0xf0 && second < 0x90) ||
            (byte == 0xf4 && second > 0x8f) || (byte == 0xc2 && second < 0xa0)) {
            whole = false;
        }
        if (!whole || byte < 0x20 || byte == 0x7f) {
            clean += '?';
            ++at;
        } else {
            clean += text.substr(at, length);
            at += length;
        }
    }
    return clean;
}

}  // namespace asyncvm::remote
