/// File descriptors of the kvm API and what is mapped from them.
#pragma once

#include "os/unique_fd.hpp"

#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <string_view>

namespace asyncvm::kvm {

class Fd : public UniqueFd {
public:
    using UniqueFd::UniqueFd;

    /// As ioctl(2): negative on failure, errno tells why.
    template <typename Argument>
    int control(unsigned long request, Argument argument) const noexcept {
        return ::ioctl(get(), request, argument);
    }
};

/// Throws Error(host): `what`, which ioctl it was, and errno.
[[noreturn]] void ioctl_failed(std::string_view what);

/// A shared mapping of a descriptor's bytes from `offset` on, a multiple of the page size; get() is null where it failed.
class Mapping {
public:
    Mapping(const Fd& fd, std::size_t size, std::size_t offset = 0) noexcept
        : size_(size),
          address_(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), static_cast<off_t>(offset))) {}
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping() {
        if (address_ != MAP_FAILED) ::munmap(address_, size_);
    }

    [[nodiscard]] std::byte* get() const noexcept {
        return address_ == MAP_FAILED ? nullptr : static_cast<std::byte*>(address_);
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
    std::size_t size_;
    void* address_;
};

}  // namespace asyncvm::kvm
