/// A file that is there whole, or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "os/unique_fd.hpp"

namespace asyncvm::vmcore {

/// Written under another name beside its own, which it gets at its end. All functions throw Error(host) that names the path.
class CoreFile {
public:
    /// Its directory must exist. What is there already must be a regular file; a symbolic link is followed.
    explicit CoreFile(const std::string& path);
    /// Nothing is left of a file that was not completed.
    ~CoreFile();
    CoreFile(const CoreFile&) = delete;
    CoreFile& operator=(const CoreFile&) = delete;

    /// Pages that are all zeros become holes, when `offset` begins a page.
    void write(std::uint64_t offset, std::span<const std::byte> bytes);

    /// The file is `size` bytes long and takes the place of an older one. Mode 0600.
    void complete(std::uint64_t size);

    /// Throws what the constructor would, as far as that can be told before.
    static void check(const std::string& path);

private:
    void put(std::uint64_t offset, std::span<const std::byte> bytes);
    [[noreturn]] void fail(int error) const;

    const std::string path_;
    std::string temporary_;
    UniqueFd fd_;
};

}  // namespace asyncvm::vmcore
