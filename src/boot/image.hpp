/// A guest's file, as parsers and loaders read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace asyncvm::boot {

/// The bytes of a kernel, a module, an initial RAM disk. Used on one thread at a time.
class Image {
public:
    Image(std::string name, std::uint64_t size) : name_(std::move(name)), size_(size) {}
    Image(const Image&) = delete;
    Image& operator=(const Image&) = delete;
    virtual ~Image() = default;

    /// For messages: the file's path.
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

    /// `size` bytes from `offset` on, or as many as the image has. Valid as long as the image. Meant for headers: a file is
    /// read for it and the bytes are kept. Throws Error(guest_image) for what can't be read.
    [[nodiscard]] virtual std::span<const std::byte> view(std::uint64_t offset, std::uint64_t size) const = 0;

    /// Fills `to` from `offset` on, straight from the file. Throws Error(guest_image) for what can't be read or is not
    /// there.
    virtual void read(std::uint64_t offset, std::span<std::byte> to) const = 0;

private:
    std::string name_;
    std::uint64_t size_;
};

using ImagePtr = std::shared_ptr<const Image>;

/// A file, a pipe or a device; "-" is the standard input. What is no regular file is read to its end here, `most` bytes at
/// most, and kept. Blocks while a pipe has nothing to give. Throws Error(guest_image): no such file, empty, larger than
/// `most`.
[[nodiscard]] ImagePtr open_image(const std::string& path, std::uint64_t most);

/// Bytes that are in memory already: owned, or the caller's, which must live as long.
[[nodiscard]] ImagePtr memory_image(std::string name, std::vector<std::byte> bytes);
[[nodiscard]] ImagePtr borrowed_image(std::string name, std::span<const std::byte> bytes);

/// How messages call `path`: "-" is "the standard input".
[[nodiscard]] std::string image_name(const std::string& path);

}  // namespace asyncvm::boot
