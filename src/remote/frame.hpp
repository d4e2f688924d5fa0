/// The frames between this program and a process that is a device: what they say, as bytes, and back, whatever the bytes
/// are. docs/remote-devices.md has the protocol. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace asyncvm::remote {

using Bytes = std::vector<std::byte>;

/// Numbers are those of vfio-user where it has the message.
enum class Command : std::uint16_t {
    version = 1,
    dma_map = 2,
    region_read = 9,
    region_write = 10,
    dma_read = 11,
    dma_write = 12,
    device_reset = 13,
    set_irq = 0x8001,
    log = 0x8002,
};

/// "REGION_READ", "command 77".
[[nodiscard]] std::string name_of(Command command);

inline constexpr std::uint16_t protocol_major = 1;
inline constexpr std::uint16_t protocol_minor = 0;

// Of VERSION: what the device may do, or takes.
inline constexpr std::uint32_t memory_read = 1 << 0;
inline constexpr std::uint32_t memory_write = 1 << 1;
inline constexpr std::uint32_t memory_map = 1 << 2;
inline constexpr std::uint32_t posted_writes = 1 << 3;

// Of a frame's flags.
inline constexpr std::uint32_t type_mask = 0xf;
inline constexpr std::uint32_t type_command = 0;
inline constexpr std::uint32_t type_reply = 1;
inline constexpr std::uint32_t flag_no_reply = 1 << 4;
inline constexpr std::uint32_t flag_error = 1 << 5;
inline constexpr std::uint32_t known_flags = type_mask | flag_no_reply | flag_error;

// Sizes, in bytes.
inline constexpr std::size_t header_size = 16;
inline constexpr std::size_t access_size = 16;  ///< what stands before the data of an access, of regions and of memory
inline constexpr std::size_t map_size = 32;
inline constexpr std::size_t longest_name = 64;
inline constexpr std::size_t longest_text = 1024;  ///< of a line on the log
/// Before a device has said who it is.
inline constexpr std::size_t longest_greeting = header_size + 16 + longest_name;

struct Header {
    std::uint16_t id = 0;
    Command command{};
    std::uint32_t size = 0;  ///< of the whole frame
    std::uint32_t flags = 0;
    std::uint32_t error = 0;  ///< an errno value, in a reply with flag_error

    [[nodiscard]] bool is_reply() const noexcept { return (flags & type_mask) == type_reply; }
    [[nodiscard]] bool wants_reply() const noexcept { return (flags & flag_no_reply) == 0; }
    [[nodiscard]] bool is_error() const noexcept { return (flags & flag_error) != 0; }

    bool operator==(const Header&) const = default;
};

/// Of a region: ports or memory of the guest.
struct Region {
    std::uint64_t address = 0;
    std::uint64_t size = 0;
    bool memory = false;

    bool operator==(const Region&) const = default;
};

/// An access to a region, as it stands in the frame.
struct RegionAccess {
    std::uint64_t offset = 0;
    std::uint16_t region = 0;
    std::uint8_t width = 1;
    std::uint32_t count = 0;  ///< bytes: more than `width` is a string

    bool operator==(const RegionAccess&) const = default;
};

template <typename T>
void append(Bytes& to, T value) {
    static_assert(std::is_integral_v<T>);
    const auto bytes = std::as_bytes(std::span(&value, 1));
    to.insert(to.end(), bytes.begin(), bytes.end());
}

/// `from` is long enough.
template <typename T>
[[nodiscard]] T load(std::span<const std::byte> from, std::size_t at) noexcept {
    T value{};
    std::memcpy(&value, from.data() + at, sizeof value);
    return value;
}

/// Appends a header for a payload of `payload` bytes, which the caller appends.
void append_header(Bytes& to, std::uint16_t id, Command command, std::size_t payload, std::uint32_t flags,
                   std::uint32_t error = 0);
void append_access(Bytes& to, const RegionAccess& access);

/// A frame in the reader's buffer.
struct Frame {
    Header header{};
    std::span<const std::byte> payload{};
};

/// Cuts frames out of a stream. It keeps no more than one frame and what came with it.
class FrameReader {
public:
    /// Frames may have so many bytes; from the next one on.
    void set_limit(std::size_t bytes) noexcept { limit_ = bytes; }

    /// Where the next bytes of the stream are to be put. After next() has found nothing: it is not empty then.
    [[nodiscard]] std::span<std::byte> room();
    /// So many bytes have been put there.
    void took(std::size_t bytes) noexcept { end_ += bytes; }

    /// The frame that is next and whole, until the next room() or drop(). Nothing: there is none yet, or mistake() says why
    /// there will be none.
    [[nodiscard]] std::optional<Frame> next();
    /// That frame has been dealt with.
    void drop() noexcept;

    /// Empty, or why the stream can't be read any further.
    [[nodiscard]] const std::string& mistake() const noexcept { return mistake_; }

private:
    std::size_t limit_ = longest_greeting;
    Bytes buffer_;
    std::size_t begin_ = 0;  ///< what is in the buffer and not yet dropped
    std::size_t end_ = 0;
    std::string mistake_;
};

/// `text` without what a terminal would obey: control characters and broken UTF-8 are `?`.
[[nodiscard]] std::string harmless(std::string_view text);

}  // namespace asyncvm::remote
