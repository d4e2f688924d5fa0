/// The guest's memory as a back end has it: mapped from the descriptors that it was given.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "os/unique_fd.hpp"

namespace asyncvm::vhost {

/// Boost.Test's own are for one thread.
inline void must(bool holds) {
    if (!holds) throw std::logic_error("the fake back end was told what makes no sense");
}

class FakeMemory {
public:
    FakeMemory() = default;
    FakeMemory(const FakeMemory&) = delete;
    FakeMemory& operator=(const FakeMemory&) = delete;
    ~FakeMemory() { unmap(); }

protected:
    struct Region {
        std::uint64_t guest = 0;
        std::uint64_t size = 0;
        std::uint64_t user = 0;
        std::byte* host = nullptr;
    };
    template <typename T>
    static T number(std::span<const std::byte> from, std::size_t at = 0) {
        T value{};
        must(at + sizeof value <= from.size());
        std::memcpy(&value, from.data() + at, sizeof value);
        return value;
    }
    void map(std::span<const std::byte> payload, std::vector<UniqueFd> fds) {
        unmap();
        const auto count = number<std::uint32_t>(payload);
        must(fds.size() == count);
        for (std::uint32_t i = 0; i < count; ++i) {
            Region region{.guest = number<std::uint64_t>(payload, 8 + 32 * i),
                          .size = number<std::uint64_t>(payload, 16 + 32 * i),
                          .user = number<std::uint64_t>(payload, 24 + 32 * i)};
            const auto offset = static_cast<off_t>(number<std::uint64_t>(payload, 32 + 32 * i));
            void* const host = ::mmap(nullptr, region.size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i].get(), offset);
            must(host != MAP_FAILED);
            region.host = static_cast<std::byte*>(host);
            regions_.push_back(region);
        }
    }

    [[nodiscard]] std::byte* at(std::uint64_t address, std::uint64_t Region::*base) const {
        for (const auto& region : regions_) {
            if (address - region.*base < region.size) return region.host + (address - region.*base);
        }
        return nullptr;
    }
    template <typename T>
    [[nodiscard]] T load(std::uint64_t user) const {
        T value{};
        std::memcpy(&value, at(user, &Region::user), sizeof value);
        return value;
    }
    template <typename T>
    void store(std::uint64_t user, T value) const {
        std::memcpy(at(user, &Region::user), &value, sizeof value);
    }

    /// Calls `use(bytes, length, whether the device writes them)` for each buffer of a chain.
    template <typename Use>
    void each_buffer(std::uint64_t descriptors, std::uint16_t head, Use use) const {
        for (std::uint16_t index = head;;) {
            const std::uint64_t descriptor = descriptors + 16 * index;
            auto* const bytes = reinterpret_cast<char*>(at(load<std::uint64_t>(descriptor), &Region::guest));
            const auto flags = load<std::uint16_t>(descriptor + 12);
            use(bytes, load<std::uint32_t>(descriptor + 8), (flags & 2) != 0);
            if ((flags & 1) == 0) return;
            index = load<std::uint16_t>(descriptor + 14);
        }
    }

    /// Returns how many bytes it has written.
    std::uint32_t turn_around(std::uint64_t descriptors, std::uint16_t head) const {
        std::string text;
        std::uint32_t written = 0;
        each_buffer(descriptors, head, [&](char* bytes, std::uint32_t length, bool is_written) {
            if (!is_written) {
                text.append(bytes, length);
            } else {
                const std::string turned(text.rbegin(), text.rend());
                written = static_cast<std::uint32_t>(turned.copy(bytes, length));
            }
        });
        return written;
    }

private:
    void unmap() {
        for (const auto& region : regions_) ::munmap(region.host, region.size);
        regions_.clear();
    }

    std::vector<Region> regions_;
};

}  // namespace asyncvm::vhost
