/// The debug console: a port that takes bytes.
#pragma once

#include "devices/room_to_post.hpp"

#include <asyncvm/chardev.hpp>
#include <asyncvm/device.hpp>

#include <memory>

namespace asyncvm {

/// Each byte that is written goes to a chardev, the lowest byte of a wide access first. Every byte that is read is 0xe9, as
/// on Bochs and QEMU: firmware looks for that value before it uses the port. docs/devices/debugcon.md
class DebugConsole : public Device {
public:
    /// `output` must not be empty.
    explicit DebugConsole(std::shared_ptr<Chardev> output);

    [[nodiscard]] std::string_view name() const noexcept override { return "debugcon"; }
    [[nodiscard]] awaitable<void> write(const Access& access) override;
    [[nodiscard]] awaitable<void> write_string(const Access& first, std::span<const std::byte> data) override;
    [[nodiscard]] bool posts(std::uint64_t) const noexcept override { return room_to_post(*output_); }
    [[nodiscard]] awaitable<void> read(Access& access) override;

private:
    std::shared_ptr<Chardev> output_;
};

}  // namespace asyncvm
