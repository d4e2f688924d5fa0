/// Reading a guest's file into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace asyncvm {

/// Reads the whole of `path` ("-": the standard input) into `room`; returns how many bytes that were, at least one. Throws
/// Error(guest_image) when it can't be read, is empty or does not fit; `load` is where `room` begins, for the message.
[[nodiscard]] std::size_t read_image(const std::string& path, std::span<std::byte> room, std::uint64_t load);

/// What read_image() throws when `path` does not fit; `size` is 0 where it is not known.
[[noreturn]] void throw_does_not_fit(const std::string& path, std::uint64_t size, std::uint64_t room, std::uint64_t load);

/// How messages call `path`: "-" is "the standard input".
[[nodiscard]] std::string image_name(const std::string& path);

}  // namespace asyncvm
