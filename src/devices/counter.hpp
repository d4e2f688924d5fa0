/// The counter port: the smallest device that a guest can see both ways.
#pragma once

#include "devices/room_to_post.hpp"

#include <asyncvm/chardev.hpp>
#include <asyncvm/device.hpp>

#include <cstdint>
#include <memory>
#include <span>

namespace asyncvm {

/// OUT prints `out port: 16, data: 7` and a newline, the numbers unsigned and in decimal; in memory `out address: ...`.
/// IN answers 0, 1, 2, ..., each cut to the width of the access. docs/devices/counter.md
class Counter : public Device {
public:
    /// `output` must not be empty.
    explicit Counter(std::shared_ptr<Chardev> output);

    [[nodiscard]] std::string_view name() const noexcept override { return "counter"; }
    [[nodiscard]] awaitable<void> write(const Access& access) override;
    [[nodiscard]] awaitable<void> write_string(const Access& first, std::span<const std::byte> data) override;
    [[nodiscard]] bool posts(std::uint64_t) const noexcept override { return room_to_post(*output_); }
    [[nodiscard]] awaitable<void> read(Access& access) override;
    void reset() override { next_ = 0; }

private:
    std::shared_ptr<Chardev> output_;
    std::uint64_t next_ = 0;
};

}  // namespace asyncvm
