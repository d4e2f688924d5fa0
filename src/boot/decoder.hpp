/// What unpacks gzip, xz and zstd: the system's libraries, loaded when they are first needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace asyncvm::boot {

enum class Packing : std::uint8_t { none, gzip, xz, zstd };

/// By the first bytes, of which 6 are enough.
[[nodiscard]] Packing packing_of(std::span<const std::byte> head) noexcept;

/// "gzip", "xz", "zstd": also the names of the programs that unpack it with -d.
[[nodiscard]] std::string_view name_of(Packing packing) noexcept;

/// One stream of packed bytes after another.
class Decoder {
public:
    enum class Step : std::uint8_t {
        more,     ///< give more input or more room
        end,      ///< the stream is complete
        damaged,  ///< this is no such stream
        memory,   ///< the stream needs more memory to unpack than there is, or than is allowed
    };

    Decoder() = default;
    Decoder(const Decoder&) = delete;
    Decoder& operator=(const Decoder&) = delete;
    virtual ~Decoder() = default;

    /// Unpacks from `in` to `out` and takes what it has used off both. After Step::end the next call begins another stream.
    [[nodiscard]] virtual Step run(std::span<const std::byte>& in, std::span<std::byte>& out) = 0;
};

/// Null if this program was built without it. Throws Error(host) if the library can't be loaded.
[[nodiscard]] std::unique_ptr<Decoder> make_decoder(Packing packing);

}  // namespace asyncvm::boot
