// The debugger's stops: in front of an instruction, or at an INT3.
#include "accel/unicorn/emulation.hpp"

namespace asyncvm::unicorn {

namespace {

// DR6 and DR7 (Intel SDM vol. 3, 18.2).
constexpr std::uint64_t dr6_single_step = 1u << 14;
constexpr std::uint32_t debug_exception = 1;

bool enabled(std::uint64_t dr7, unsigned slot) { return (dr7 >> (2 * slot) & 3) != 0; }
bool for_instructions(std::uint64_t dr7, unsigned slot) { return (dr7 >> (16 + 4 * slot) & 3) == 0; }

}  // namespace

void Emulation::set_debug(const GuestDebug& debug) {
    debug_ = debug;
    debugging_ = debug.single_step || debug.dr7 != 0;
}

/// In the hook in front of the instruction at `address`.
void Emulation::stop_for_debugger(std::uint64_t address) {
    if (pass_) return;
    std::uint64_t why = debug_.single_step ? dr6_single_step : 0;
    for (unsigned slot = 0; slot < debug_.breakpoints.size(); ++slot) {
        const bool here =
            enabled(debug_.dr7, slot) && for_instructions(debug_.dr7, slot) && debug_.breakpoints[slot] == address;
        if (here) why |= std::uint64_t{1} << slot;
    }
    if (why == 0) return;
    debug_stop_ = {.rip = address, .dr6 = why, .dr7 = debug_.dr7, .exception = debug_exception};
    suspend(Stop::debug);
}

/// Outside of Unicorn, behind the INT3: the guest goes back to it.
void Emulation::stop_at_int3() {
    exception_.reset();
    rip_ = linear_ - cs_base_;
    debug_stop_ = {.rip = linear_, .exception = breakpoint_exception};
    suspend(Stop::debug);
}

}  // namespace asyncvm::unicorn
