/// A throw-away virtual machine for one probe, with a limit of time.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/guest_memory.hpp>
#include <asyncvm/loader.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "probe/code.hpp"
#include "probe/feature.hpp"
#include "probe/watchdog.hpp"

namespace asyncvm::probe {

struct Plan {
    Code code;
    Mode mode = Mode::real16;
    unsigned cpus = 1;
    bool irqchip = false;
};

/// Everything on the thread that made it, except where Trial itself says otherwise.
class Trial {
public:
    static constexpr std::uint64_t ram_size = 1 << 20;

    /// Throws Error(host).
    explicit Trial(const Plan& plan);

    [[nodiscard]] Accelerator& accelerator() noexcept { return *accelerator_; }
    [[nodiscard]] Cpu& cpu(unsigned index = 0) noexcept { return *cpus_[index]; }
    /// 16, 32 or 64: of the mode that it starts in.
    [[nodiscard]] unsigned bits() const noexcept;

private:
    Mode mode_;
    GuestMemory memory_;
    std::unique_ptr<Accelerator> accelerator_;
    std::vector<std::unique_ptr<Cpu>> cpus_;
};

/// Enters the guest until it makes an exit. Interrupted: the time of `watchdog` is over.
[[nodiscard]] Exit next_exit(Cpu& cpu, const Watchdog& watchdog);

/// In words, for Verdict::why: "shut down at once (triple fault)". `bits` is how instructions are read: 16, 32 or 64.
[[nodiscard]] std::string describe(const Exit& exit, const Watchdog& watchdog, unsigned bits);

/// Runs the guest until it writes to the verdict port. `on_exit`, if given, sees every other exit; when it returns true the
/// trial has succeeded.
[[nodiscard]] Verdict judge(Trial& trial, const std::function<bool(const Exit&)>& on_exit = {});

}  // namespace asyncvm::probe
