/// A device loop, files, and requests that are awaited: what the tests of disks share.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/block.hpp>
#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace asyncvm::test {

using Bytes = std::vector<std::byte>;

/// Bytes that tell their place and who wrote them.
inline Bytes pattern(std::size_t size, unsigned seed) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(seed * 37 + i / 512 * 5 + i);
    return bytes;
}

class BlockFixture {
public:
    BlockFixture() {
        std::string name = "/var/tmp/block-test-XXXXXX";
        directory_ = ::mkdtemp(name.data());
    }
    ~BlockFixture() { std::filesystem::remove_all(directory_); }
    BlockFixture(const BlockFixture&) = delete;
    BlockFixture& operator=(const BlockFixture&) = delete;

    [[nodiscard]] std::string path(const char* name) const { return directory_ / name; }

    std::string make_image(std::span<const std::byte> bytes, const char* name = "disk.img") const {
        std::ofstream file(path(name), std::ios::binary);
        file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        return path(name);
    }
    static Bytes contents(const std::string& name) {
        std::ifstream file(name, std::ios::binary);
        const std::string text{std::istreambuf_iterator<char>(file), {}};
        const auto bytes = std::as_bytes(std::span(text));
        return {bytes.begin(), bytes.end()};
    }

    /// Runs the loop until `work` has ended.
    template <typename T>
    T await(awaitable<T> work) {
        std::optional<T> result;
        std::exception_ptr failure;
        asio::co_spawn(loop, std::move(work), [&](std::exception_ptr error, T value) {
            failure = std::move(error);
            result = std::move(value);
            loop.stop();
        });
        loop.restart();
        loop.run();
        if (failure) std::rethrow_exception(failure);
        return std::move(result).value();
    }

    std::error_code read(BlockBackend& disk, std::uint64_t offset, std::span<std::byte> to) {
        const std::array spans{to};
        return await(disk.read(offset, spans));
    }
    Bytes read(BlockBackend& disk, std::uint64_t offset, std::size_t size) {
        Bytes bytes(size);
        if (const auto error = read(disk, offset, std::span(bytes))) throw std::system_error(error);
        return bytes;
    }
    std::error_code write(BlockBackend& disk, std::uint64_t offset, std::span<const std::byte> from) {
        const std::array spans{from};
        return await(disk.write(offset, spans));
    }
    Log log() {
        return [this](std::string_view line) { lines.emplace_back(line); };
    }

    asio::io_context loop{1};
    std::vector<std::string> lines;

private:
    std::filesystem::path directory_;
};

inline std::error_code error_of(std::errc error) { return std::make_error_code(error); }

/// The message of the Error that `work` throws, or an empty text.
template <typename Work>
std::string refused(Work work) {
    try {
        work();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

inline bool has(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

}  // namespace asyncvm::test
