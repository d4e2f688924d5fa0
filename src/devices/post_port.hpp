/// The POST port: where firmware says how far its power-on self-test has come.
#pragma once

#include <asyncvm/device.hpp>
#include <asyncvm/log.hpp>

#include <atomic>
#include <cstdint>

namespace asyncvm {

/// Remembers the last value written; reads give it back. Kernels also write to it to let a microsecond pass, so a write does
/// nothing else, unless a trace was asked for. docs/devices/post.md
class PostPort : public Device {
public:
    /// With a `trace`, tells it each code that differs from the one before.
    explicit PostPort(Log trace = {});

    [[nodiscard]] std::string_view name() const noexcept override { return "post"; }
    [[nodiscard]] awaitable<void> write(const Access& access) override;
    [[nodiscard]] bool posts(std::uint64_t) const noexcept override { return true; }
    [[nodiscard]] awaitable<void> read(Access& access) override;
    void reset() override { code_ = 0; }

    /// The last code, 0 before the first. Any thread: reports show how far the guest came.
    [[nodiscard]] std::uint64_t code() const noexcept { return code_.load(std::memory_order_relaxed); }

private:
    Log trace_;
    std::atomic<std::uint64_t> code_ = 0;
};

}  // namespace asyncvm
