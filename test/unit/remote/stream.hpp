/// Frames of a device for tests, and the monitor's side that reads them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "remote/session.hpp"

namespace asyncvm::remote::test {

[[nodiscard]] inline std::string hex(std::span<const std::byte> bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (const std::byte byte : bytes) {
        text += digits[std::to_integer<unsigned>(byte) / 16];
        text += digits[std::to_integer<unsigned>(byte) % 16];
    }
    return text;
}

/// A frame with the payload that `fill` appends.
template <typename Fill>
[[nodiscard]] Bytes frame(std::uint16_t id, Command command, std::uint32_t flags, Fill fill) {
    Bytes payload;
    fill(payload);
    Bytes bytes;
    append_header(bytes, id, command, payload.size(), flags);
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    return bytes;
}
[[nodiscard]] inline Bytes frame(std::uint16_t id, Command command, std::uint32_t flags) {
    return frame(id, command, flags, [](Bytes&) {});
}

struct Device {
    std::uint16_t major = 1;
    std::uint16_t minor = 0;
    std::uint32_t capabilities = 0;
    std::uint32_t max_data = 4096;
    std::uint16_t max_requests = 2;
    std::string name = "dev";

    [[nodiscard]] Bytes version_reply(std::uint16_t id = 0) const {
        return frame(id, Command::version, type_reply, [this](Bytes& to) {
            append(to, major);
            append(to, minor);
            append(to, capabilities);
            append(to, max_data);
            append(to, max_requests);
            append(to, std::uint16_t{0});
            for (const char letter : name) to.push_back(static_cast<std::byte>(letter));
        });
    }
};

[[nodiscard]] inline Bytes set_irq(std::uint16_t id, std::uint32_t line, std::uint32_t level,
                                   std::uint32_t flags = flag_no_reply) {
    return frame(id, Command::set_irq, flags, [=](Bytes& to) {
        append(to, line);
        append(to, level);
    });
}

[[nodiscard]] inline Bytes dma(std::uint16_t id, Command command, std::uint64_t address, std::uint64_t count,
                               std::size_t data = 0) {
    return frame(id, command, type_command, [=](Bytes& to) {
        append(to, address);
        append(to, count);
        to.resize(to.size() + data, std::byte{0x5a});
    });
}

/// The reply to an access of a region.
[[nodiscard]] inline Bytes access_reply(std::uint16_t id, Command command, const RegionAccess& access,
                                        std::string_view data = {}) {
    return frame(id, command, type_reply, [&](Bytes& to) {
        append_access(to, access);
        for (const char letter : data) to.push_back(static_cast<std::byte>(letter));
    });
}

/// A session that gets bytes as a socket would give them.
struct Monitor {
    explicit Monitor(std::uint32_t capabilities = memory_read | memory_write | memory_map | posted_writes,
                     std::uint16_t irqs = 2)
        : session({.capabilities = capabilities,
                   .max_data = 4096,
                   .irqs = irqs,
                   .regions = {{.address = 0x300, .size = 8}, {.address = 0xd000'0000, .size = 0x1000, .memory = true}}}) {}

    /// Everything up to VERSION's reply.
    void agree(const Device& device = {}) {
        const auto id = session.greet(out);
        out.clear();
        give(device.version_reply(id));
        last = session.next(false, out);
    }
    void give(std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            const auto room = session.reader().room();
            const auto count = std::min(room.size(), bytes.size());
            if (count == 0) return;
            std::copy_n(bytes.begin(), count, room.begin());
            session.reader().took(count);
            bytes = bytes.subspan(count);
        }
    }
    Said next(bool hold = false) { return last = session.next(hold, out); }
    /// What is answered to `bytes`, as a whole.
    std::string answer_to(const Bytes& bytes) {
        out.clear();
        give(bytes);
        (void)next();
        return hex(out);
    }
    /// Why the connection ends after these bytes; "" if it does not.
    std::string end_after(const Bytes& bytes) {
        give(bytes);
        (void)next();
        return session.broken();
    }

    Session session;
    Bytes out;
    Said last;
};

}  // namespace asyncvm::remote::test
