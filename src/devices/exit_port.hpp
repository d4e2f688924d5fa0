/// The exit port: how a guest ends its machine with a code of its own.
#pragma once

#include <asyncvm/device.hpp>
#include <asyncvm/outcome.hpp>

#include <cstdint>
#include <functional>

namespace asyncvm {

/// What the exit code is, for the value that the guest wrote.
enum class ExitCoding : std::uint8_t {
    qemu,   ///< (value << 1) | 1, as QEMU's isa-debug-exit gives: always odd, so never 0
    exact,  ///< the value itself
};

/// 0 to 255: a process has no more than the low 8 bits to tell its parent.
[[nodiscard]] constexpr int exit_code_of(std::uint64_t value, ExitCoding coding) noexcept {
    return static_cast<int>((coding == ExitCoding::qemu ? (value << 1) | 1 : value) & 0xff);
}

/// A write ends the run. Reads give 0. docs/devices/exit.md
class ExitPort : public Device {
public:
    /// `finish` is called on the vCPU's thread: Machine::finish().
    ExitPort(std::function<void(Outcome)> finish, ExitCoding coding);

    [[nodiscard]] std::string_view name() const noexcept override { return "exit"; }
    [[nodiscard]] awaitable<void> write(const Access& access) override;
    [[nodiscard]] awaitable<void> read(Access& access) override;

private:
    std::function<void(Outcome)> finish_;
    ExitCoding coding_;
};

}  // namespace asyncvm
